//! Jobs and reports to hand to queues and workers.

use jiff::Timestamp;
use relay::model::{
    ids::{ShardId, TaskKey, TaskRunId},
    job::{Job, JobId, News, Outcome, PROTOCOL, Program, Report},
    json::Text,
};
use relay::queue::{Epochs, Placed};
use serde_json::json;

/// The pool of jobs that say nothing else.
pub const POOL: &str = "data/default";

/// The first attempt of the task of this number.
pub fn job_id(task: u32) -> JobId {
    let run = "run-1".parse().expect("a run id");
    JobId { task_run: TaskRunId { run, key: TaskKey::of_task(task) }, attempt: 1 }
}

/// The same, in the pool of jobs that say nothing else.
pub fn placed(task: u32) -> Placed {
    Placed { pool: POOL.into(), job: job_id(task) }
}

/// The same epoch of every shard.
pub fn all_led(epoch: i64) -> Epochs {
    (0..ShardId::COUNT).filter_map(ShardId::new).map(|shard| (shard, epoch)).collect()
}

/// A job that runs `program`, with its number for a rank.
pub fn job_of(task: u32, program: Program) -> Job {
    Job {
        version: PROTOCOL,
        at_most_once: false,
        id: job_id(task),
        pool: POOL.to_owned(),
        rank: i64::from(task),
        run_name: "nightly".to_owned(),
        task_name: format!("task-{task}"),
        program,
        env: Vec::new(),
        timeout: None,
        outputs: Vec::new(),
        item: None,
        input: Text::from(&json!({})),
    }
}

/// A job that does nothing.
pub fn job(task: u32) -> Job {
    job_of(task, Program::Command(vec!["true".to_owned()]))
}

/// A job that runs a script.
pub fn script(text: &str) -> Job {
    job_of(0, Program::Script(text.into()))
}

/// A success without outputs.
pub fn success() -> News {
    News::Ended(Outcome::Success { outputs: Default::default() })
}

/// A worker's news, told at `now`.
pub fn report(worker: &str, job: &JobId, news: News) -> Report {
    Report { version: PROTOCOL, job: job.clone(), worker: worker.to_owned(), news, at: second(0) }
}

/// An instant, so many seconds after an arbitrary one.
pub fn second(n: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + n).expect("an instant")
}
