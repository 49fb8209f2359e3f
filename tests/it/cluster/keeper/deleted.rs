//! Pools that are deleted, with workers that still run something.

use relay::model::job::JobId;
use relay::queue::Jobs;
use relay::queue::redis::RedisJobs;

use super::{pool, rig::Rig};
use crate::support::jobs::{report, second, success};

const WORKER: &str = "relay-pool-0-w";

/// A pool with a pod whose worker holds a job.
fn busy(rig: &Rig) -> (RedisJobs, JobId) {
    rig.apply(&pool(""));
    rig.until_says("ScaledToZero");
    rig.pod();
    let worker = rig.worker();
    let job = rig.give(&worker);
    (worker, job)
}

/// The keeper has looked for pods twice: whatever it does about a deleted pool, it has done by then.
fn looked(rig: &Rig, before: u64) {
    rig.wait("the keeper looks at the pods", || rig.control.calls("LIST", "pods") >= before + 2);
}

#[test]
fn workers_of_a_deleted_pool_end_what_they_run_before_they_are_shut_out() {
    let rig = Rig::new("relay:1");
    let (worker, job) = busy(&rig);
    let before = rig.control.calls("LIST", "pods");
    rig.run(&["delete", "workerpool", "pool"]);
    looked(&rig, before);
    rig.runtime.block_on(async {
        worker.report(report(WORKER, &job, success())).await.expect("it is heard");
        worker.leave(WORKER).await.expect("a good-bye");
    });
    assert!(rig.lets_in(), "its pod is still there");
    rig.run(&["delete", "pod", "relay-pool-0", "--now"]);
    rig.wait("nobody is let in", || !rig.lets_in());
}

#[test]
fn a_pool_that_is_made_again_has_the_workers_that_are_left() {
    let rig = Rig::new("relay:1");
    let (worker, job) = busy(&rig);
    let before = rig.control.calls("LIST", "pods");
    rig.run(&["delete", "workerpool", "pool"]);
    looked(&rig, before);
    rig.apply(&pool(""));
    // Its Deployment and its Secret go with it; nobody does that here.
    rig.until_says("NameTaken");
    rig.run(&["delete", "deployment", "relay-pool"]);
    rig.until_says("NameTaken");
    rig.run(&["delete", "secret", "relay-pool-redis"]);
    rig.until_says("ScaledToZero");
    rig.runtime.block_on(async {
        let orders = worker.beat(WORKER, std::slice::from_ref(&job), second(0)).await.expect("it is in");
        assert_eq!(orders.abandoned, []);
    });
    // And it would be, had its connection broken.
    rig.worker();
}

#[test]
fn a_pool_that_was_deleted_while_nobody_watched_is_shut_once_its_workers_are_gone() {
    let mut rig = Rig::new("relay:1");
    let (worker, job) = busy(&rig);
    rig.stop();
    rig.run(&["delete", "workerpool", "pool"]);
    let before = rig.control.calls("LIST", "pods");
    rig.start("relay:1");
    looked(&rig, before);
    rig.runtime.block_on(async {
        worker.report(report(WORKER, &job, success())).await.expect("it is heard");
    });
    rig.run(&["delete", "pod", "relay-pool-0", "--now"]);
    let before = rig.control.calls("LIST", "pods");
    looked(&rig, before);
    assert!(rig.lets_in(), "its worker has not said good-bye");
    rig.runtime.block_on(worker.leave(WORKER)).expect("a good-bye");
    rig.wait("nobody is let in", || !rig.lets_in());
}
