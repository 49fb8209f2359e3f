//! What a task's process gets: its argv, environment, files and directory; and how it is told what went wrong.

use std::os::unix::fs::PermissionsExt;

use relay::feed::Stream;
use relay::model::{
    ids::{TaskKey, TaskRunId},
    job::{Job, JobId, Outcome, Program},
    json::Text,
    task::FailureKind,
};
use serde_json::json;

use super::bench::Bench;
use crate::support::jobs::{job_of, script};

fn command(argv: &[&str]) -> Job {
    job_of(0, Program::Command(argv.iter().map(|a| (*a).to_owned()).collect()))
}

#[tokio::test]
async fn lines_of_both_streams_arrive_in_order() {
    let ran = Bench::default()
        .run(&script("for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf last"))
        .await;
    assert_eq!(ran.stdout(), ["out 1", "out 2", "out 3", "last"]);
    assert_eq!(ran.of(Stream::Stderr), ["err 1", "err 2", "err 3"]);
    assert_eq!(ran.lines.iter().map(|l| l.number).collect::<Vec<_>>(), (1..=7).collect::<Vec<_>>());
    assert_eq!(ran.outcome, Outcome::Success { outputs: Default::default() });
}

#[tokio::test]
async fn arguments_are_the_argv_as_it_is() {
    let argv = ["sh", "-c", "printf '%s\\n' \"$0\" \"$@\"", "a b", "$(date)", "", "*", "--x='y'"];
    let ran = Bench::default().run(&command(&argv)).await;
    assert_eq!(ran.stdout(), argv[3..]);
    let renamed = Bench::default()
        .run(&command(&["sh", "-c", "cat /proc/$$/cmdline | tr '\\0' '\\n' | head -1"]))
        .await;
    assert_eq!(renamed.stdout(), ["sh"], "argv[0] is what was written");
}

#[tokio::test]
async fn the_environment_is_the_base_then_the_jobs_then_relays() {
    let item = TaskKey { task: 3, item: Some(7), round: 2 };
    let run = "run-1".parse().expect("an id");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let job = Job {
        id: JobId { task_run: TaskRunId { run, key: item }, attempt: 4 },
        env: vec![pair("A", "first"), pair("A", "second line\nand more"), pair("RELAY_TASK", "forged")],
        ..command(&["sh", "-c", "env | grep -v -e ^PWD -e ^SHLVL -e ^_= -e ^OLDPWD | sort"])
    };
    let ran = Bench::default().run(&job).await;
    let lines = ran.stdout();
    let names: Vec<&str> = lines.iter().filter_map(|l| l.split_once('=')).map(|(name, _)| name).collect();
    let relay = [
        "RELAY_ATTEMPT",
        "RELAY_DIR",
        "RELAY_INDEX",
        "RELAY_INPUT",
        "RELAY_OUTPUT",
        "RELAY_RUN",
        "RELAY_TASK",
    ];
    assert_eq!(
        names,
        ["A", "BASE", "PATH"].into_iter().chain(relay).collect::<Vec<_>>(),
        "nothing of ours leaks"
    );
    for line in
        ["A=second line", "RELAY_ATTEMPT=4", "RELAY_INDEX=7", "RELAY_RUN=nightly", "RELAY_TASK=task-0"]
    {
        assert!(lines.contains(&line), "{line} is not among {lines:?}");
    }
    let plain = Bench::default().run(&script("echo ${RELAY_INDEX-none}")).await;
    assert_eq!(plain.stdout(), ["none"]);
}

#[tokio::test]
async fn a_task_starts_in_an_empty_directory_that_goes_away() {
    let bench = Bench::default();
    let text = "pwd; test \"$(pwd -P)\" = \"$(cd \"$RELAY_DIR\"; pwd -P)\" && ls -A && stat -c %a .. && touch x && mkdir -p locked/in && chmod 0 locked";
    let ran = bench.run(&script(text)).await;
    assert_eq!(ran.outcome, Outcome::Success { outputs: Default::default() });
    let lines = ran.stdout();
    assert_eq!(lines[1..], ["700"], "empty, and closed to others");
    assert!(!std::path::Path::new(lines[0]).exists());
    assert_eq!(bench.left_behind(), [""; 0]);
}

#[tokio::test]
async fn the_input_is_a_file() {
    let input = json!({"params": {"day": "2026-11-20"}, "tasks": {"up": {"outputs": {"n": 1}}}});
    let job = Job { input: Text::from(&input), item: Some(json!("eu")), ..script("cat \"$RELAY_INPUT\"") };
    let ran = Bench::default().run(&job).await;
    let found = serde_json::from_str::<serde_json::Value>(ran.stdout()[0]).expect("JSON");
    let tasks = json!({"up": {"outputs": {"n": 1}}});
    assert_eq!(found, json!({"params": {"day": "2026-11-20"}, "tasks": tasks, "item": "eu", "index": null}));
}

#[tokio::test]
async fn a_script_is_run_by_its_own_interpreter_or_by_sh_that_stops_at_a_failure() {
    let bench = Bench::default();
    let own = bench.run(&script("#!/usr/bin/env -S awk -f\nBEGIN { print \"by awk\" }\n")).await;
    assert_eq!(own.stdout(), ["by awk"]);
    let plain = bench.run(&script("echo one\nfalse\necho two\n")).await;
    assert_eq!(plain.stdout(), ["one"]);
    assert_eq!(plain.failure(), (FailureKind::ExitCode, Some(1), "it ended with status 1"));
}

#[tokio::test]
async fn nobody_waits_for_words_from_a_keyboard() {
    let ran = Bench::default().run(&script("read line || echo nothing")).await;
    assert_eq!(ran.stdout(), ["nothing"]);
}

#[tokio::test]
async fn an_exit_status_is_told_with_the_last_words() {
    let ran = Bench::default()
        .run(&script("echo early >&2; for i in 1 2 3; do echo \"oops $i\" >&2; done; exit 42"))
        .await;
    let said = "it ended with status 42; last on stderr: oops 1 | oops 2 | oops 3";
    assert_eq!(ran.failure(), (FailureKind::ExitCode, Some(42), said));
}

#[tokio::test]
async fn a_signal_is_told_by_its_name() {
    let ran = Bench::default().run(&script("kill -SEGV $$")).await;
    assert_eq!(ran.failure(), (FailureKind::ExitCode, Some(139), "it was killed by SIGSEGV (signal 11)"));
    let killed = Bench::default().run(&script("kill -KILL $$")).await;
    assert_eq!(killed.failure().1, Some(137));
    assert!(killed.failure().2.contains("SIGKILL"), "{}", killed.failure().2);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let bench = Bench::default();
    let data = bench.root.path().join("data.txt");
    std::fs::write(&data, "no program").expect("written");
    let alien = bench.root.path().join("alien");
    std::fs::write(&alien, "\x7fELF and no more").expect("written");
    std::fs::set_permissions(&alien, std::fs::Permissions::from_mode(0o755)).expect("changed");
    let (data, alien) = (data.to_string_lossy().into_owned(), alien.to_string_lossy().into_owned());
    let huge = "x".repeat(3 << 20);
    for (job, words) in [
        (command(&["no-such-tool", "-v"]), "the program `no-such-tool` was not found in PATH"),
        (command(&["./run.sh"]), "`./run.sh` does not exist (a task starts in an empty directory"),
        (command(&[&data]), "is not executable: it needs the x permission"),
        (command(&[&alien]), "cannot be executed here"),
        (command(&["/"]), "does not exist"),
        (command(&[]), "its command is empty"),
        (command(&[""]), "its command is empty"),
        (command(&["echo", "a\0b"]), "has a NUL character"),
        (command(&["echo", &huge]), "pass large values by $RELAY_INPUT"),
        (script("#!/no/such/interpreter\n"), "needs an interpreter that does not exist"),
        (Job { env: vec![("A=B".into(), "x".into())], ..script("true") }, "impossible name"),
    ] {
        let ran = bench.run(&job).await;
        let (kind, code, message) = ran.failure();
        assert!(message.contains(words), "{message:?} does not say {words:?}");
        assert!(message.len() < 500, "{} bytes", message.len());
        assert_eq!((kind, code), (FailureKind::Error, None));
    }
    assert_eq!(bench.left_behind(), [""; 0]);
}
