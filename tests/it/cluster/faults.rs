//! Everything that may die, dies, with runs in flight: each run ends as it should, and every result counts once.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::installed::{Installed, SYSTEM, alone, logs};
use super::kubectl::{LATER, Namespace, SOON, condition, kubectl, well};
use super::main_job::{POOL, rows_of};

/// Runs in flight when something dies.
const RUNS: usize = 4;

/// A fan with a join, each task long enough to be caught at it.
const FLIGHT: &str = "apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: flight}
spec:
  tasks:
    - {name: first, script: 'echo \"list:=[1,2,3,4,5,6]\" >> \"$RELAY_OUTPUT\"'}
    - name: each
      dependsOn: [first]
      forEach: {from: tasks.first.outputs.list, as: digit}
      env: [{name: DIGIT, value: $(digit)}]
      script: 'sleep 1; echo \"square:=$((DIGIT * DIGIT))\" >> \"$RELAY_OUTPUT\"'
    - name: join
      dependsOn: [each]
      env: [{name: SUM, value: \"$(tasks.each.outputs.map(o, o.square))\"}]
      script: 'echo \"all:=$SUM\" >> \"$RELAY_OUTPUT\"'
  outputs: [{name: all, value: tasks.join.outputs.all}]
---
";

pub(super) fn take_off(own: &Namespace) {
    let run = |n: usize| {
        format!(
            "apiVersion: relay.works/v1alpha1\nkind: Run\nmetadata: {{name: flight-{n}}}\n\
             spec: {{workflowRef: {{name: flight}}}}\n---\n"
        )
    };
    own.apply(&format!("{POOL}{FLIGHT}{}", (0..RUNS).map(run).collect::<String>()));
    own.until("run", "flight-0", LATER, |run| run["status"]["tasks"]["running"].as_u64() > Some(0));
}

/// Every run is SUCCESS with the right result, and each of its task runs was committed once.
#[track_caller]
pub(super) fn all_landed(relay: &Installed, own: &Namespace) {
    for n in 0..RUNS {
        let name = format!("flight-{n}");
        own.until("run", &name, LATER, |run| condition(run, "Finished").is_some_and(|(is, ..)| is == "True"));
        let run = own.get("run", &name);
        let (status, ..) = condition(&run, "Succeeded").expect("it is there");
        assert_eq!(status, "True", "{run:#}\n{}", logs());
        assert_eq!(run["status"]["outputs"]["all"], serde_json::json!([1, 4, 9, 16, 25, 36]));
        let rows = rows_of(relay, &run);
        assert_eq!((rows.status.as_str(), rows.tasks.len()), ("SUCCESS", 9), "{rows:?}");
        for (task, row) in &rows.tasks {
            assert_eq!((row.status.as_str(), row.successes), ("SUCCESS", 1), "{name}/{task}");
        }
    }
}

/// The operators and workers in the containers of a pod.
fn processes(pod: &Value) -> Vec<i32> {
    let uid = pod["metadata"]["uid"].as_str().expect("a uid").to_owned();
    // systemd's cgroups have underscores in their names.
    let names = [uid.clone(), uid.replace('-', "_")];
    let of_pod = |pid: i32| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let cgroups = read("cgroup");
        // A worker starts itself anew under another name of its file, so the verb tells.
        let verb =
            read("cmdline").split('\0').nth(1).is_some_and(|verb| ["operator", "worker"].contains(&verb));
        verb && names.iter().any(|name| cgroups.contains(name.as_str()))
    };
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|pid| of_pod(*pid)).collect()
}

/// kill -9, of all of them.
#[track_caller]
pub(super) fn kill(pods: &[Value]) {
    let pids: Vec<i32> = pods.iter().flat_map(processes).collect();
    assert!(!pids.is_empty(), "no process of {} pods was found", pods.len());
    pids.into_iter().for_each(|pid| signal(pid, Signal::KILL).expect("it is there"));
}

fn signal(pid: i32, signal: Signal) -> rustix::io::Result<()> {
    kill_process(Pid::from_raw(pid).expect("a pid"), signal)
}

/// A pod whose worker was frozen while it held a job, so that it will tell no end of it.
#[track_caller]
fn frozen_at_work(relay: &Installed, own: &Namespace) -> Value {
    let books = |what: &str| format!("relay:{{{}/default}}:{what}", own.name);
    let end = Instant::now() + LATER;
    while Instant::now() < end {
        for pod in pods(&own.name, "app.kubernetes.io/managed-by=relay") {
            let frozen: Vec<i32> =
                processes(&pod).into_iter().filter(|pid| signal(*pid, Signal::STOP).is_ok()).collect();
            let leases = relay.servers.redis(&["hgetall", &books("leases")]);
            let told = relay.servers.redis(&["smembers", &books("leases:ended")]);
            let leases: Vec<&str> = leases.lines().collect();
            let worker = format!("{}-", pod["metadata"]["name"].as_str().expect("a name"));
            let open = leases
                .chunks_exact(2)
                .any(|lease| lease[1].starts_with(&worker) && !told.lines().any(|job| job == lease[0]));
            if open && !frozen.is_empty() {
                return pod;
            }
            for pid in frozen {
                // It may have ended by itself.
                let _ = signal(pid, Signal::CONT);
            }
        }
    }
    panic!("no worker of {} holds a job", own.name);
}

pub(super) fn pods(namespace: &str, selector: &str) -> Vec<Value> {
    let output = kubectl().args(["-n", namespace, "get", "pods", "-l", selector, "-o", "json"]).output();
    let list: Value = serde_json::from_str(&well(output.expect("kubectl starts"))).expect("JSON");
    list["items"].as_array().cloned().unwrap_or_default()
}

#[test]
fn the_operator_is_killed() {
    let (relay, _turn) = alone();
    let own = Namespace::new("killoperator");
    take_off(&own);
    let before: BTreeSet<String> = restarts();
    kill(&pods(SYSTEM, "app.kubernetes.io/name=relay"));
    all_landed(relay, &own);
    assert_ne!(before, restarts(), "it was not the operator that died");
}

/// The operator's containers and how often each was started again.
fn restarts() -> BTreeSet<String> {
    let of = |pod: &Value| {
        format!("{} {}", pod["metadata"]["name"], pod["status"]["containerStatuses"][0]["restartCount"])
    };
    pods(SYSTEM, "app.kubernetes.io/name=relay").iter().map(of).collect()
}

#[test]
fn a_worker_is_killed() {
    let (relay, _turn) = alone();
    let own = Namespace::new("killworker");
    take_off(&own);
    let at_work = frozen_at_work(relay, &own);
    kill(std::slice::from_ref(&at_work));
    all_landed(relay, &own);
    let again = (0..RUNS).any(|n| {
        let rows = rows_of(relay, &own.get("run", &format!("flight-{n}")));
        rows.tasks.values().any(|row| row.attempt > 1)
    });
    assert!(again, "what the worker held was run again");
}

#[test]
fn redis_loses_everything() {
    let (relay, _turn) = alone();
    let own = Namespace::new("flushall");
    take_off(&own);
    assert_eq!(relay.servers.redis(&["flushall"]), "OK");
    all_landed(relay, &own);
}

#[test]
fn postgres_is_restarted() {
    let (relay, _turn) = alone();
    let own = Namespace::new("postgres");
    take_off(&own);
    relay.servers.restart_postgres();
    all_landed(relay, &own);
    // And what comes afterwards goes its way too.
    own.run(&["delete", "run", "flight-0"]);
    own.apply(
        "apiVersion: relay.works/v1alpha1
kind: Run
metadata: {name: flight-0}
spec: {workflowRef: {name: flight}}
",
    );
    own.wait("run/flight-0", "Succeeded", SOON.max(LATER));
}
