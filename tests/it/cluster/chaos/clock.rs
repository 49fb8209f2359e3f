//! Wall clocks of single processes that a test can put: a library that is loaded before libc adds what a file says.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::kubectl::well;

/// The library.
pub struct Clocks {
    library: PathBuf,
}

impl Clocks {
    /// Builds it in this folder.
    pub fn build(folder: &Path) -> Clocks {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        std::fs::write(&source, include_str!("clock.c")).expect("a file");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source);
        well(cc.output().expect("cc starts"));
        Clocks { library }
    }

    /// Gives a program a clock of its own, which goes right.
    pub fn give(&self, command: &mut Command, name: &str) -> Clock {
        let file = self.library.with_file_name(format!("{name}.clock"));
        std::fs::write(&file, 0_i64.to_ne_bytes()).expect("a file");
        command.env("LD_PRELOAD", &self.library).env("CHAOS_CLOCK", &file);
        Clock { file }
    }
}

/// The clock of one process.
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// From now on it is off by so many seconds.
    pub fn shift(&self, seconds: i64) {
        // In place: the process has it mapped.
        let file = std::fs::File::options().write(true).open(&self.file).expect("it is there");
        file.write_all_at(&seconds.to_ne_bytes(), 0).expect("written");
    }
}

#[test]
fn a_program_sees_the_clock_that_it_was_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut date = Command::new("date");
    let clock = Clocks::build(folder.path()).give(date.arg("+%s"), "date");
    let mut seconds = || well(date.output().expect("date starts")).trim().parse::<i64>().expect("a number");
    let before = seconds();
    clock.shift(-3_600);
    let after = seconds() - before;
    assert!((-3_600..-3_000).contains(&after), "{after}");
}
