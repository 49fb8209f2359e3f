//! `make cluster-up` and `make cluster-down`, with a place of their own.

use crate::support::{Finished, Program, repository};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(400);

fn cluster(within: &Path, verb: &str) -> Finished {
    let mut command = Command::new(repository("tests/bed/cluster"));
    command.arg(verb).env("TMPDIR", within).env("RELAY_CLUSTER", within.join("cluster"));
    let finished = Program::start(&mut command).finish(LIMIT);
    assert!(finished.status.success(), "{verb}: {}{}", finished.output, finished.errors);
    finished
}

/// What a user sees who types the first line that cluster-up prints, and then asks for Relay.
fn ready_replicas(told: &str) -> String {
    let export = told.lines().find(|line| line.trim().starts_with("export ")).expect("a line to type");
    let ask = "kubectl get deployment relay -n relay-system -o 'jsonpath={.status.readyReplicas}'";
    let mut shell = Command::new("sh");
    let answer = Program::start(shell.args(["-c", &format!("{export}\n{ask}")])).finish(LIMIT);
    assert!(answer.status.success(), "{}", answer.errors);
    answer.output.trim().to_owned()
}

#[test]
fn a_cluster_comes_up_once_with_relay_in_it_and_goes_down_whole() {
    let within =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().expect("a folder");
    let up = cluster(within.path(), "up");
    assert_eq!(ready_replicas(&up.output), "1");
    let again = cluster(within.path(), "up");
    assert!(again.output.starts_with("It is up already."), "{}", again.output);
    assert_eq!(ready_replicas(&again.output), "1");

    assert_eq!(cluster(within.path(), "down").output, "The cluster is down.\n");
    let left: Vec<_> = within.path().read_dir().expect("a folder").map_while(Result::ok).collect();
    let left: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["cluster.lock"], "the lock alone stays");
    assert_eq!(cluster(within.path(), "down").output, "No cluster is up.\n");
}
