//! A process of the house: its output in a file, its end known.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};

use super::clock::Clock;
use super::network::Way;
use crate::cluster::servers::spawn;

/// It is killed with the value.
pub struct Process {
    pub name: String,
    pub log: PathBuf,
    /// Its clock, where it has one of its own.
    pub clock: Option<Clock>,
    /// Its network, where it has one of its own.
    pub way: Option<Way>,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Its log is a file of its name in the folder.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Process {
        let log = folder.join(format!("{name}.log"));
        let child = spawn(command, &log);
        Process { name: name.to_owned(), log, clock: None, way: None, child, ended: None }
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to it, if it is still there.
    pub fn signal(&mut self, signal: Signal) {
        if self.end().is_none() {
            kill_process(Pid::from_child(&self.child), signal).expect("it is not reaped yet");
        }
    }

    /// kill -9, to its end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended = Some(self.child.wait().expect("it is our child"));
    }

    /// How it ended, if it did.
    pub fn end(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("it is our child");
        }
        self.ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // It may have ended by itself, and a panic may be under way.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
