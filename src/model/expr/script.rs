//! Script text, which is never interpolated: where it is in a command, and what in it was meant for Relay.

/// Finds the first `$(` in a script that can only be meant for Relay: `$(params.`, `$(tasks.`, `$(run.`,
/// `$(schedule.` and `$(<as>`. Gives its offset in characters and the name.
pub fn find_interpolation(script: &str, as_name: Option<&str>) -> Option<(usize, String)> {
    const ROOTS: [&str; 4] = ["params", "tasks", "run", "schedule"];
    script.match_indices("$(").find_map(|(at, _)| {
        let inside = script[at + 2..].trim_start();
        let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
        let (word, after) = inside.split_at(end);
        let root = ROOTS.contains(&word) && after.starts_with(['.', '[']);
        let ours = root || (!word.is_empty() && as_name == Some(word));
        ours.then(|| (script[..at].chars().count(), word.to_owned()))
    })
}

/// The index of the argument that is script text: after a flag group that ends in `c` of a shell or of
/// Python, after `-e` of Node, Perl or Ruby; also behind `env`, `timeout` and their like.
pub fn script_argument(argv: &[String]) -> Option<usize> {
    let mut at = 0;
    loop {
        let name = argv.get(at)?.rsplit('/').next().unwrap_or_default();
        match program(name) {
            Program::Wrapper(wrapper) => at = wrapper.command(argv, at + 1)?,
            Program::Shell => return shell_script(argv, at + 1),
            Program::Python => return letters_script(argv, at + 1, &PYTHON),
            Program::Perl => return letters_script(argv, at + 1, &PERL),
            Program::Node => return node_script(argv, at + 1),
            Program::Other => return None,
        }
    }
}

enum Program {
    Wrapper(Wrapper),
    Shell,
    Python,
    Perl,
    Node,
    Other,
}

/// A program that runs the command behind its own flags.
struct Wrapper {
    /// Flags that take the next argument as their value.
    valued: &'static [&'static str],
    /// Arguments before the command.
    operands: usize,
    /// Whether `NAME=value` may stand before the command.
    assignments: bool,
}

fn program(name: &str) -> Program {
    let wrapper = |valued, operands, assignments| Program::Wrapper(Wrapper { valued, operands, assignments });
    match name {
        "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh" | "busybox-sh" => Program::Shell,
        "env" => wrapper(&["-u", "--unset", "-C", "--chdir"], 0, true),
        "timeout" => wrapper(&["-k", "--kill-after", "-s", "--signal"], 1, false),
        "nice" => wrapper(&["-n", "--adjustment"], 0, false),
        "busybox" | "nohup" | "setsid" | "tini" | "dumb-init" => wrapper(&[], 0, false),
        "node" | "nodejs" => Program::Node,
        "perl" | "ruby" => Program::Perl,
        _ if is_python(name) => Program::Python,
        _ => Program::Other,
    }
}

fn is_python(name: &str) -> bool {
    name.strip_prefix("python").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

impl Wrapper {
    fn is_assignment(&self, arg: &str) -> bool {
        self.assignments && arg.contains('=')
    }

    fn command(&self, argv: &[String], mut at: usize) -> Option<usize> {
        let mut operands = self.operands;
        loop {
            let arg = argv.get(at)?.as_str();
            if self.valued.contains(&arg) {
                at += 1;
            } else if !arg.starts_with('-') && !self.is_assignment(arg) {
                match operands.checked_sub(1) {
                    Some(left) => operands = left,
                    None => return Some(at),
                }
            }
            at += 1;
        }
    }
}

fn shell_script(argv: &[String], mut at: usize) -> Option<usize> {
    loop {
        let arg = argv.get(at)?.as_str();
        if matches!(arg, "--rcfile" | "--init-file") {
            at += 2;
        } else if arg.starts_with("--") && arg.len() > 2 {
            at += 1;
        } else if let Some(flags) =
            arg.strip_prefix(['-', '+']).filter(|flags| *flags != "-" && !flags.is_empty())
        {
            if arg.starts_with('-') && flags.contains('c') {
                return command_string(argv, at, flags);
            }
            // `-o pipefail`, `-euo pipefail`: the option's name is the next argument.
            at += if flags.ends_with(['o', 'O']) { 2 } else { 1 };
        } else {
            return None;
        }
    }
}

/// With `-c` seen, the script is the first argument that is no option.
fn command_string(argv: &[String], group: usize, flags: &str) -> Option<usize> {
    let mut at = group + 1 + usize::from(flags.contains(['o', 'O']));
    loop {
        let arg = argv.get(at)?.as_str();
        match arg.strip_prefix(['-', '+']) {
            Some("-") | None => {
                return if arg == "--" { argv.get(at + 1).map(|_| at + 1) } else { Some(at) };
            }
            Some("") => return Some(at),
            Some(more) => at += if more.ends_with(['o', 'O']) { 2 } else { 1 },
        }
    }
}

/// Letters of single-dash flags of an interpreter.
struct Letters {
    /// Those after which the script comes, in the same or in the next argument.
    script: &'static [char],
    /// Those that take a value, in the same or in the next argument.
    valued: &'static [char],
    /// Those whose value, if any, is in the same argument.
    attached: &'static [char],
    /// Those after which everything belongs to a module.
    last: &'static [char],
}

const PYTHON: Letters = Letters { script: &['c'], valued: &['W', 'X'], attached: &[], last: &['m'] };
const PERL: Letters = Letters {
    script: &['e', 'E'],
    valued: &['I'],
    attached: &['i', 'M', 'm', 'x', '0', 'F', 'C', 'D', 'd', 'r'],
    last: &[],
};

fn letters_script(argv: &[String], mut at: usize, letters: &Letters) -> Option<usize> {
    'arguments: loop {
        let arg = argv.get(at)?.as_str();
        if arg.starts_with("--") && arg.len() > 2 {
            at += 1;
            continue;
        }
        let flags = arg.strip_prefix('-').filter(|flags| !flags.is_empty() && *flags != "-")?;
        for (i, letter) in flags.char_indices() {
            let last = i + letter.len_utf8() == flags.len();
            if letters.script.contains(&letter) {
                return if last { argv.get(at + 1).map(|_| at + 1) } else { Some(at) };
            }
            if letters.last.contains(&letter) {
                return None;
            }
            if letters.valued.contains(&letter) {
                at += if last { 2 } else { 1 };
                continue 'arguments;
            }
            if letters.attached.contains(&letter) {
                break;
            }
        }
        at += 1;
    }
}

fn node_script(argv: &[String], mut at: usize) -> Option<usize> {
    loop {
        match argv.get(at)?.as_str() {
            "-e" | "--eval" | "-p" | "--print" | "-pe" => return argv.get(at + 1).map(|_| at + 1),
            "-r" | "--require" | "--import" | "-C" | "--conditions" => at += 2,
            "--" | "-" => return None,
            arg if arg.starts_with("--eval=") || arg.starts_with("--print=") => return Some(at),
            arg if arg.starts_with('-') => at += 1,
            _ => return None,
        }
    }
}
