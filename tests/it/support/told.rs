//! What `relay run` told its user, without what differs from run to run: times, and the ends of generated names.

use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::{Program, program::Finished, relay};

/// No example and no test takes longer; a slow machine may.
const LIMIT: Duration = Duration::from_secs(60);

/// What a user saw, and the exit status.
pub struct Told {
    /// The exit status.
    pub code: Option<i32>,
    /// Standard output, a line each: `greet RUNNING`, `greet | Hello`; then the summary.
    pub lines: Vec<String>,
    /// Standard error.
    pub errors: String,
}

impl Told {
    /// `relay run` with these arguments, to its end.
    #[track_caller]
    pub fn run(arguments: &[&str]) -> Told {
        Told::of(relay().arg("run").args(arguments))
    }

    /// Such a command, to its end.
    #[track_caller]
    pub fn of(command: &mut Command) -> Told {
        Told::from(Program::start(command).finish(LIMIT))
    }

    /// The lines about a task, without its name: its states, and its log after a bar.
    pub fn task(&self, name: &str) -> Vec<&str> {
        let own = |line: &'_ String| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '));
        self.live().iter().filter(|l| own(l)).map(|l| &l[name.len() + 1..]).collect()
    }

    /// The lines before the first summary.
    pub fn live(&self) -> &[String] {
        let end = self.lines.iter().position(String::is_empty).unwrap_or(self.lines.len());
        &self.lines[..end]
    }

    /// From the first summary on.
    pub fn summary(&self) -> &[String] {
        &self.lines[(self.live().len() + 1).min(self.lines.len())..]
    }

    /// The place of a line.
    #[track_caller]
    pub fn at(&self, line: &str) -> usize {
        let found = self.lines.iter().position(|l| l == line);
        found.unwrap_or_else(|| panic!("no line {line:?} in\n{}\n{}", self.lines.join("\n"), self.errors))
    }

    /// Asserts that these lines came in this order.
    #[track_caller]
    pub fn in_order(&self, lines: &[&str]) {
        let places: Vec<usize> = lines.iter().map(|line| self.at(line)).collect();
        assert!(places.is_sorted(), "{lines:?} came in another order:\n{}", self.lines.join("\n"));
    }
}

impl From<Finished> for Told {
    fn from(finished: Finished) -> Told {
        Told {
            code: finished.status.code(),
            lines: finished.output.lines().map(plain).collect(),
            errors: finished.errors,
        }
    }
}

/// A line without its time, padding and generated names.
pub fn plain(line: &str) -> String {
    static TIME: LazyLock<Regex> = LazyLock::new(|| pattern(r"^ *\d+(\.\d\ds|m\d\ds|h\d\dm) "));
    static NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r"-[0-9a-f]{5}\b"));
    static ROW: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(\S+ +[A-Z_]+ +(?:\d+|-) +)(<1ms|\d+ms|\d+\.\d\ds)"));
    static END: LazyLock<Regex> = LazyLock::new(|| pattern(r"(: [A-Z]+) in (<1ms|\d+ms|\d+\.\d\ds)"));
    static GAP: LazyLock<Regex> = LazyLock::new(|| pattern(r"  +"));
    let line = TIME.replace(line, "");
    let line = NAME.replace_all(&line, "-*");
    let line = ROW.replace(&line, "$1");
    let line = END.replace(&line, "$1");
    let line = GAP.replace_all(line.trim_end(), " ");
    line.into_owned()
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

#[test]
fn a_line_is_compared_without_what_differs() {
    assert_eq!(plain("    0.03s greet   RUNNING"), "greet RUNNING");
    assert_eq!(plain("    0.03s a-long-name | in 3 steps"), "a-long-name | in 3 steps");
    assert_eq!(
        plain("slow   FAILED       1  204ms  it ran longer than its timeout of 200ms"),
        "slow FAILED 1 it ran longer than its timeout of 200ms"
    );
    assert_eq!(plain("clean  SUCCESS      1  <1ms"), "clean SUCCESS 1");
    assert_eq!(plain("when-89ab9: SUCCESS in 42ms"), "when-*: SUCCESS");
    assert_eq!(plain("when-89ab9: FAILED in 1.42s: a task failed"), "when-*: FAILED: a task failed");
}
