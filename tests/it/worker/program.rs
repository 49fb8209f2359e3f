//! `relay worker`, the built program over a real Redis, as a pod runs it.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use relay::link::{RedisSettings, worker_url};
use relay::model::job::{Job, News, Outcome, Program as Runs};
use relay::queue::{
    Position, Queue, Roster, Told,
    redis::{Limits, RedisQueue},
};
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use super::bench::gone;
use crate::support::{
    Finished, Program,
    jobs::{POOL, all_led, job_id, job_of, placed, second},
    redis_url, relay,
};

pub(super) const LIMIT: Duration = Duration::from_secs(60);
const PASSWORD: &str = "s3cret/of:the@pool";
/// Nobody, where tests run as root: root may look into every process.
const NOBODY: u32 = 65_534;

/// A pool in Redis, and a folder that its workers and tasks may write to.
pub(super) struct Site {
    pub(super) queue: RedisQueue,
    pub(super) prefix: String,
    folder: TempDir,
}

impl Site {
    pub(super) async fn new() -> Site {
        let site = Site::unopened();
        site.admit().await;
        site
    }

    /// Where nobody has let the pool's workers in yet.
    fn unopened() -> Site {
        let prefix = format!("relay-test-{}", uuid::Uuid::now_v7().simple());
        let settings =
            RedisSettings::new(&redis_url()).and_then(|s| s.with_prefix(&prefix)).expect("settings");
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("its own");
        let queue = RedisQueue::new(&settings, Limits::default()).expect("a queue");
        queue.lead(&all_led(1));
        let site = Site { queue, prefix, folder };
        let installed = relay().arg("install").arg(site.folder.path()).output().expect("it runs");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        site
    }

    async fn admit(&self) {
        self.queue.admit(POOL, PASSWORD).await.expect("admitted");
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the pod would start. Its folder is one of this worker alone.
    fn command(&self, name: &str) -> Command {
        let url = worker_url(&redis_url(), &self.queue.user(POOL), PASSWORD).expect("a URL");
        let mut command = Command::new(self.path("relay"));
        command.arg("worker").env_clear().env("PATH", "/usr/bin:/bin").env("OF_THE_IMAGE", "yes");
        command.env("RELAY_REDIS_URL", url).env("RELAY_REDIS_PREFIX", &self.prefix);
        command.env("RELAY_POOL", POOL).env("RELAY_SLOTS", "2").env("RELAY_WORKER_NAME", name);
        command.env("RELAY_WORK_DIR", self.path(name)).env("RELAY_READY_FILE", self.path("ready"));
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// A worker that is at work.
    pub(super) async fn worker(&self, name: &str) -> Program {
        let worker = Program::start(&mut self.command(name));
        until("the worker is ready", || self.path("ready").exists()).await;
        worker
    }

    /// A job that runs a script in which `$AT` is the folder.
    fn script(&self, task: u32, text: &str) -> Job {
        let at = ("AT".to_owned(), self.folder.path().to_string_lossy().into_owned());
        Job { env: vec![at], ..job_of(task, Runs::Script(text.into())) }
    }

    /// The same as an argument of a shell: beside it there is no file in its directory that Relay made for it alone.
    pub(super) async fn run_bare(&self, task: u32, text: &str) -> Outcome {
        self.begin_bare(task, text).await;
        self.end(task).await
    }

    /// The same without waiting for its end.
    pub(super) async fn begin_bare(&self, task: u32, text: &str) {
        let argv = ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
        self.publish(&[Job { program: Runs::Command(argv), ..self.script(task, "") }]).await;
    }

    async fn publish(&self, jobs: &[Job]) {
        self.queue.publish(jobs).await.expect("published");
    }

    /// Publishes a job and waits for its end.
    pub(super) async fn run(&self, task: u32, text: &str) -> Outcome {
        self.publish(&[self.script(task, text)]).await;
        self.end(task).await
    }

    /// Waits for the end of a job, and settles it.
    pub(super) async fn end(&self, task: u32) -> Outcome {
        let mut after = Position::START;
        loop {
            let reports = self.queue.reports(after, 100);
            let reports =
                tokio::time::timeout(LIMIT, reports).await.expect("a report in time").expect("reports");
            for Told { at, report, .. } in reports {
                after = at;
                let News::Ended(outcome) = report.news else { continue };
                if report.job == job_id(task) {
                    self.queue.settle(Position::START, &[placed(task)]).await.expect("settled");
                    return outcome;
                }
            }
        }
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(super) async fn lease_holders(&self) -> Vec<String> {
        let census = self.queue.census(second(0)).await.expect("a census");
        census.leases.into_iter().map(|lease| lease.worker).collect()
    }
}

/// Waits for what another process does.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let waited = tokio::time::timeout(LIMIT, async {
        while !holds() {
            looks.tick().await;
        }
    });
    assert!(waited.await.is_ok(), "not within {LIMIT:?}: {what}");
}

pub(super) fn success() -> Outcome {
    Outcome::Success { outputs: Default::default() }
}

#[track_caller]
pub(super) fn ended_well(finished: &Finished) {
    assert_eq!(finished.status.code(), Some(0), "{}", finished.errors);
}

#[tokio::test]
async fn it_runs_the_jobs_of_its_pool_and_drains_when_told_to() {
    let site = Site::new().await;
    let worker = site.worker("w").await;
    site.publish(&[site.script(1, "echo on > $AT/on; until [ -e $AT/go ]; do sleep 0.05; done")]).await;
    until("the job runs", || site.path("on").exists()).await;
    worker.signal(Signal::TERM);
    until("it has heard the signal", || !site.path("ready").exists()).await;
    site.publish(&[site.script(2, "true")]).await;
    fs::write(site.path("go"), "").expect("written");
    assert_eq!(site.end(1).await, success());
    let finished = worker.finish(LIMIT);
    ended_well(&finished);
    assert!(!finished.errors.contains("s3cret"), "{}", finished.errors);
    let census = site.queue.census(second(0)).await.expect("a census");
    assert_eq!(census.pending, [placed(2)], "what it did not claim is still there");
}

#[tokio::test]
async fn a_second_signal_kills_what_runs() {
    let site = Site::new().await;
    let worker = site.worker("w").await;
    let script = "trap '' TERM; echo $$ > $AT/pid.new; mv $AT/pid.new $AT/pid; while :; do sleep 0.1; done";
    site.publish(&[site.script(1, script)]).await;
    until("the job runs", || site.path("pid").exists()).await;
    worker.signal(Signal::TERM);
    worker.signal(Signal::INT);
    ended_well(&worker.finish(LIMIT));
    gone(site.read("pid").trim());
}

#[tokio::test]
async fn a_task_sees_the_images_environment_and_nothing_of_the_credentials() {
    let site = Site::new().await;
    let worker = site.worker("w").await;
    let script = "env > $AT/env; echo > $HOME/mine; echo > $TMPDIR/mine; \
        for f in environ mem maps fd/0 root/etc/passwd; do cat /proc/$PPID/$f >> $AT/seen 2>> $AT/refused && echo $f >> $AT/open; done; \
        cat /proc/$PPID/cmdline >> $AT/seen; echo $PPID > $AT/worker";
    assert_eq!(site.run(1, script).await, success());
    let env = site.read("env");
    let names: Vec<&str> =
        env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    for name in ["OF_THE_IMAGE", "PATH", "HOME", "TMPDIR", "RELAY_OUTPUT"] {
        assert!(names.contains(&name), "{name} is not in {env}");
    }
    for name in ["RELAY_REDIS_URL", "RELAY_POOL", "RELAY_SLOTS", "RELAY_WORKER_NAME"] {
        assert!(!names.contains(&name), "{name} is in {env}");
    }
    assert_eq!(site.read("open"), "", "a task can look into the worker: {}", site.read("seen"));
    let pid = site.read("worker");
    // With the rights of whoever runs the tests; as root that is everything.
    let mut seen = site.read("env") + &site.read("seen");
    for file in ["environ", "cmdline"] {
        let own = fs::read(format!("/proc/{}/{file}", pid.trim())).unwrap_or_default();
        seen.push_str(&String::from_utf8_lossy(&own));
    }
    assert!(!seen.contains("s3cret") && !seen.contains("RELAY_REDIS_URL"), "{seen}");
    worker.signal(Signal::TERM);
    ended_well(&worker.finish(LIMIT));
}

#[tokio::test]
async fn what_a_task_leaves_behind_is_reaped_and_ended() {
    let site = Site::new().await;
    let worker = site.worker("w").await;
    // One that left the group, and one that it started in a group of its own: that one is the worker's child only later.
    let leaves = "setsid sh -c 'setsid sh -c \"echo \\$\\$ > $AT/child; exec sleep 600\" & \
            echo $$ > $AT/stray.new; mv $AT/stray.new $AT/stray; exec sleep 600' & \
        (sleep 0.1 &) ; until [ -s $AT/child ] && [ -e $AT/stray ]; do sleep 0.05; done";
    assert_eq!(site.run(1, leaves).await, success());
    gone(site.read("stray").trim());
    gone(site.read("child").trim());
    // Its children that have ended, as a task sees them: none stays.
    let looks = "for i in $(seq 200); do \
        grep -l \"^[0-9]* (.*) Z $PPID \" /proc/[0-9]*/stat > $TMPDIR/dead 2>/dev/null || exit 0; sleep 0.05; done; exit 1";
    assert_eq!(site.run(2, looks).await, success());
    worker.signal(Signal::TERM);
    ended_well(&worker.finish(LIMIT));
}

#[tokio::test]
async fn a_retired_worker_is_not_ready_until_it_is_recalled() {
    let site = Site::new().await;
    let worker = site.worker("w").await;
    assert_eq!(site.queue.retire(POOL, 1).await.expect("retired"), 1);
    until("it is not ready", || !site.path("ready").exists()).await;
    let probe = |file| relay().arg("probe").arg(site.path(file)).status().expect("it runs").code();
    assert_eq!((probe("ready"), probe("relay")), (Some(1), Some(0)));
    site.queue.recall(POOL).await.expect("recalled");
    until("it is ready", || site.path("ready").exists()).await;
    assert_eq!(site.run(1, "true").await, success());
    worker.signal(Signal::TERM);
    ended_well(&worker.finish(LIMIT));
}

#[tokio::test]
async fn a_worker_that_comes_before_its_user_waits_to_be_let_in() {
    let site = Site::unopened();
    let worker = Program::start(&mut site.command("w"));
    until("it has its folder", || site.path("w/tasks").exists()).await;
    site.admit().await;
    assert_eq!(site.run(1, "true").await, success());
    worker.signal(Signal::TERM);
    ended_well(&worker.finish(LIMIT));
}

#[tokio::test]
async fn the_successor_of_a_killed_worker_is_another() {
    let site = Site::new().await;
    let killed = site.worker("w").await;
    // It goes with the folder, for nobody kills it.
    site.publish(&[site.script(1, "echo on > $AT/on; while [ -d $AT ]; do sleep 0.05; done")]).await;
    until("the job runs", || site.path("on").exists()).await;
    let before = site.lease_holders().await;
    killed.signal(Signal::KILL);
    fs::remove_file(site.path("ready")).expect("a killed worker leaves it");
    let worker = site.worker("w").await;
    assert_eq!(site.run(2, "true").await, success());
    assert_eq!(site.lease_holders().await, before, "the lease of the dead is for the conductor to end");
    let members = site.queue.members(POOL).await.expect("members");
    assert!(members.iter().all(|m| m.worker.starts_with("w-")), "{members:?}");
    assert_eq!(members.len(), 2, "for a while the dead one counts: {members:?}");
    worker.signal(Signal::TERM);
    ended_well(&worker.finish(LIMIT));
}

#[tokio::test]
async fn two_workers_do_not_share_a_folder_and_a_bad_argument_is_named() {
    let site = Site::new().await;
    let first = site.worker("w").await;
    let second = Program::start(&mut site.command("w")).finish(LIMIT);
    assert_eq!(second.status.code(), Some(1));
    assert!(second.errors.contains("another worker uses it; give each its own --dir"), "{}", second.errors);
    for (argument, told) in [("--pool=default", "NAMESPACE/POOL"), ("--slots=0", "1..=1000")] {
        let refused = Program::start(site.command("v").arg(argument)).finish(LIMIT);
        assert_eq!(refused.status.code(), Some(2));
        assert!(refused.errors.contains(told), "{}", refused.errors);
    }
    first.signal(Signal::TERM);
    ended_well(&first.finish(LIMIT));
}
