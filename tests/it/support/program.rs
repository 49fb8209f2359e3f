//! Other programs, with a bound on how long they may take: the built `relay`, scripts, servers' clients.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// The built `relay` with a bare environment: what a developer has set must not change a test.
pub fn relay() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    command.env_clear().stdin(Stdio::null());
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// A program that runs; it is killed when the value goes.
pub struct Program {
    pid: Pid,
    lines: Receiver<String>,
    ended: Receiver<ExitStatus>,
    errors: Option<Receiver<String>>,
}

/// A failing test waits so long for the errors of a program that it killed: what it started may hold them open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a program left.
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, without the lines that were taken before.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

impl Program {
    /// Starts it, with its output read as it comes.
    pub fn start(command: &mut Command) -> Program {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let pid = Pid::from_child(&child);
        let lines = read_lines(child.stdout.take().expect("piped"));
        let errors = Some(read_all(child.stderr.take().expect("piped")));
        Program { pid, lines, ended: wait_apart(child), errors }
    }

    /// The next line of its output, within `limit`.
    #[track_caller]
    pub fn line(&self, limit: Duration) -> String {
        match self.lines.recv_timeout(limit) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {limit:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("it closed its output"),
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("it is still there");
    }

    /// Its end, within `limit`.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) -> Finished {
        let Ok(status) = self.ended.recv_timeout(limit) else { panic!("it did not end within {limit:?}") };
        let output = self.lines.iter().map(|line| line + "\n").collect();
        let errors = self.errors.take().expect("taken once").recv().expect("its errors were read");
        Finished { status, output, errors }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // `errors` is gone when finish() saw the end; the pid may be somebody else's by now.
        if self.errors.is_some() && matches!(self.ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty))
        {
            let _ = kill_process(self.pid, Signal::KILL);
        }
        if std::thread::panicking()
            && let Some(Ok(errors)) = self.errors.take().map(|errors| errors.recv_timeout(LAST_WORDS))
        {
            eprintln!("what process {} told until then:\n{errors}", self.pid.as_raw_nonzero());
        }
    }
}

fn read_lines(output: ChildStdout) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn read_all(mut errors: ChildStderr) -> Receiver<String> {
    let (send, all) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before a read error still tells something.
        let _ = errors.read_to_end(&mut bytes);
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    all
}

fn wait_apart(mut child: Child) -> Receiver<ExitStatus> {
    let (send, ended) = channel();
    std::thread::spawn(move || {
        if let Ok(status) = child.wait() {
            let _ = send.send(status);
        }
    });
    ended
}
