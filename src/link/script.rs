//! A script that Redis runs as one step, known there by the hash of its text.

use redis::{Cmd, cmd};

/// A script and its hash.
#[derive(Debug)]
pub struct Script {
    name: &'static str,
    text: String,
    sha: String,
}

impl Script {
    /// From its parts, which are put one behind the other.
    pub fn new(name: &'static str, parts: &[&str]) -> Script {
        let text = parts.concat();
        let sha = redis::Script::new(&text).get_hash().to_owned();
        Script { name, text, sha }
    }

    /// Its name, for messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The command that makes it known.
    pub fn load(&self) -> Cmd {
        let mut command = cmd("SCRIPT");
        command.arg("LOAD").arg(&self.text);
        command
    }

    /// The command that runs it on these keys; arguments follow.
    pub fn on(&self, keys: &[&str]) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.sha).arg(keys.len()).arg(keys);
        command
    }
}
