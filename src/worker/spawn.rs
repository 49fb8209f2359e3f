//! From a job to a process: what runs, in which environment, and why it could not.

use std::{
    borrow::Cow,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::LazyLock,
    time::Duration,
};

use rustix::fs::Access;
use tokio::process::{Child, Command};

use crate::model::job::{Job, Program};
use crate::worker::{
    group::Group,
    reaper::{self, Awaited},
    scratch::Scratch,
};

/// Where programs are looked for when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often a file that somebody still holds open for writing is tried.
const BUSY_TRIES: u32 = 50;
/// The wait between two of these tries.
const BUSY_WAIT: Duration = Duration::from_millis(10);

/// What tasks read. Opened once: to copy it takes less than to look for it.
static NOTHING: LazyLock<io::Result<File>> = LazyLock::new(|| File::open("/dev/null"));

/// Why a job's process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// An argv without an element.
    #[error("its command is empty: name the program to run")]
    NoProgram,
    /// A name that PATH does not lead to.
    #[error("the program `{0}` was not found in PATH")]
    NotInPath(String),
    /// A path that leads nowhere.
    #[error("the program `{0}` does not exist (a task starts in an empty directory of its own)")]
    NoSuchFile(String),
    /// A file, but no program.
    #[error("the program `{0}` is not executable: it needs the x permission (chmod +x)")]
    NotExecutable(String),
    /// Neither a binary of this machine nor a script with `#!`.
    #[error(
        "the program `{0}` cannot be executed here: it is for another kind of machine, or a script without `#!`"
    )]
    NoFormat(String),
    /// The program of a `#!` line, or a binary's loader.
    #[error("the program `{0}` needs an interpreter that does not exist: look at its first line (`#!`)")]
    NoInterpreter(String),
    /// A NUL in the argv or the environment.
    #[error("an argument or environment variable of `{0}` has a NUL character or an impossible name")]
    BadText(String),
    /// More than the system takes.
    #[error(
        "the arguments and environment of `{0}` are too long: pass large values by $RELAY_INPUT, which is a file"
    )]
    TooLong(String),
    /// Anything else.
    #[error("the program `{program}` could not be started: {source}")]
    Other {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
}

/// A process that runs, and the group that it leads. (The group comes first: it is the first to go.)
pub(super) struct Running {
    pub(super) group: Group,
    pub(super) child: Child,
    _awaited: Awaited,
}

/// Starts a job's process in its scratch directory.
pub(super) async fn start(
    job: &Job,
    base: &[(String, String)],
    scratch: &Scratch,
) -> Result<Running, SpawnError> {
    let environment = environment(job, base, scratch);
    let (program, argv) = argv(job, scratch)?;
    if environment.iter().any(|(name, _)| name.is_empty() || name.contains('=')) {
        return Err(SpawnError::BadText(program));
    }
    let path = environment.iter().rfind(|(name, _)| *name == "PATH").map_or(DEFAULT_PATH, |(_, path)| path);
    let file = find(&program, path, &scratch.work())?;
    let mut command = Command::new(&file);
    // The name that was asked for; by the file's full path alone the spawn need not search, and stays a posix_spawn.
    command.arg0(&program).args(argv).env_clear();
    command.envs(environment.iter().map(|(name, value)| (name, value.as_ref())));
    command.current_dir(scratch.work()).process_group(0).kill_on_drop(true);
    command.stdin(nothing()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tries = 1;
    loop {
        match reaper::spawn(&mut command, scratch.place()) {
            Ok((child, awaited)) => {
                return Ok(Running { group: Group::led_by(child.id()), child, _awaited: awaited });
            }
            // A process that another thread starts just now still has our script open, until it execs.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                tokio::time::sleep(BUSY_WAIT).await;
            }
            Err(error) => return Err(refused(program, error)),
        }
    }
}

fn nothing() -> Stdio {
    let copy = NOTHING.as_ref().ok().and_then(|nothing| nothing.try_clone().ok());
    copy.map_or_else(Stdio::null, Stdio::from)
}

/// The program as it was asked for, and its arguments.
fn argv(job: &Job, scratch: &Scratch) -> Result<(String, Vec<String>), SpawnError> {
    match &job.program {
        Program::Command(argv) => match argv.split_first() {
            Some((program, arguments)) if !program.is_empty() => Ok((program.clone(), arguments.to_vec())),
            _ => Err(SpawnError::NoProgram),
        },
        Program::Script(text) => {
            let file = scratch.script().to_string_lossy().into_owned();
            if text.starts_with("#!") {
                Ok((file, Vec::new()))
            } else {
                Ok(("/bin/sh".to_owned(), vec!["-e".to_owned(), file]))
            }
        }
        Program::Noop => Err(SpawnError::NoProgram),
    }
}

/// What the process sees: the base, then the job's own in order, then Relay's; of one name the last counts.
fn environment<'a>(
    job: &'a Job,
    base: &'a [(String, String)],
    scratch: &Scratch,
) -> Vec<(&'a str, Cow<'a, str>)> {
    let text = |path: PathBuf| Cow::Owned(path.to_string_lossy().into_owned());
    let own = base.iter().chain(&job.env).filter(|(name, _)| name != "RELAY_INDEX");
    let mut all: Vec<_> = own.map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))).collect();
    all.extend([
        ("RELAY_RUN", Cow::Borrowed(job.run_name.as_str())),
        ("RELAY_TASK", Cow::Borrowed(job.task_name.as_str())),
        ("RELAY_ATTEMPT", Cow::Owned(job.id.attempt.to_string())),
        ("RELAY_INPUT", text(scratch.input())),
        ("RELAY_OUTPUT", text(scratch.output())),
        ("RELAY_DIR", text(scratch.work())),
    ]);
    all.extend(job.id.task_run.key.item.map(|item| ("RELAY_INDEX", Cow::Owned(item.to_string()))));
    all
}

/// The file that a program's name means.
fn find(program: &str, path: &str, work: &Path) -> Result<PathBuf, SpawnError> {
    if program.contains('/') {
        let file = work.join(program);
        return match executable(&file) {
            Some(true) => Ok(file),
            Some(false) => Err(SpawnError::NotExecutable(program.to_owned())),
            None => Err(SpawnError::NoSuchFile(program.to_owned())),
        };
    }
    let mut found = None;
    for directory in path.split(':').filter(|d| d.starts_with('/')) {
        let file = Path::new(directory).join(program);
        match executable(&file) {
            Some(true) => return Ok(file),
            Some(false) => found = Some(SpawnError::NotExecutable(file.to_string_lossy().into_owned())),
            None => {}
        }
    }
    Err(found.unwrap_or_else(|| SpawnError::NotInPath(program.to_owned())))
}

/// Is the file a program? None: there is no such file.
fn executable(file: &Path) -> Option<bool> {
    let is_file = std::fs::metadata(file).ok()?.is_file();
    is_file.then(|| rustix::fs::access(file, Access::EXEC_OK).is_ok())
}

fn refused(program: String, error: io::Error) -> SpawnError {
    use rustix::io::Errno;
    match (error.kind(), Errno::from_io_error(&error)) {
        (_, Some(Errno::NOEXEC)) => SpawnError::NoFormat(program),
        (_, Some(Errno::TOOBIG)) => SpawnError::TooLong(program),
        (io::ErrorKind::NotFound, _) => SpawnError::NoInterpreter(program),
        (io::ErrorKind::PermissionDenied, _) => SpawnError::NotExecutable(program),
        (io::ErrorKind::InvalidInput, None) => SpawnError::BadText(program),
        _ => SpawnError::Other { program, source: error },
    }
}
