//! A stage on which one story is told: nothing goes wrong by itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use relay::{
    conductor::{Submission, SubmitError},
    model::{
        ids::TaskKey,
        status::{RunStatus, TaskStatus},
        task_run::TaskRow,
        workflow::Workflow,
    },
};
use tracing_subscriber::layer::SubscriberExt;

use super::{
    cast::Cast,
    trace::Listener,
    workload::submission,
    world::{Settings, Shared, pass},
};
use crate::support::jobs::second;

/// One conductor, one worker, and whoever asks them to do something.
pub struct Stage {
    pub shared: Arc<Shared>,
    pub cast: Arc<Cast>,
    pub flow: Arc<Workflow>,
}

/// Plays a story on a stage where nothing goes wrong by itself.
pub fn on_stage<F: Future<Output = ()>>(flow: Workflow, story: impl FnOnce(Arc<Stage>) -> F) {
    with_settings(Settings::still(), flow, story);
}

/// The same over a queue that can lose its books.
pub fn on_redis<F: Future<Output = ()>>(flow: Workflow, story: impl FnOnce(Arc<Stage>) -> F) {
    with_settings(Settings { redis: true, ..Settings::still() }, flow, story);
}

fn with_settings<F: Future<Output = ()>>(
    settings: Settings,
    flow: Workflow,
    story: impl FnOnce(Arc<Stage>) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O").block_on(async {
        let flows = [(flow.id.to_string(), flow.clone())].into();
        let shared = Shared::new(settings, relay::clock::Clock::manual(second(0)), flows, BTreeMap::new());
        let listener = Listener(shared.trace.clone());
        let _listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(listener));
        let cast = Cast::new(shared.clone());
        shared.later(cast.clone().conductors(0));
        shared.later(cast.clone().worker_seat(0));
        let stage = Arc::new(Stage { shared, cast, flow: Arc::new(flow) });
        story(stage.clone()).await;
        stage.cast.end();
        stage.shared.join().await;
        assert!(stage.shared.trace.found().is_empty(), "{}", stage.shared.trace.lines().join("\n"));
    });
}

impl Stage {
    pub fn planned(&self, number: u64) -> Submission {
        submission(self.flow.clone(), number, 0, self.shared.clock.now())
    }

    pub async fn submit(&self, number: u64) -> Result<(), SubmitError> {
        while self.shared.leader().is_none() {
            pass(Duration::from_millis(10)).await;
        }
        let (leader, _) = self.shared.leader().expect("somebody leads");
        leader.submit(self.planned(number)).await
    }

    pub async fn pause(&self, number: u64) {
        let (leader, _) = self.shared.leader().expect("somebody leads");
        leader.pause(self.planned(number).run.id).await.expect("paused");
    }

    pub async fn resume(&self, number: u64) {
        let (leader, _) = self.shared.leader().expect("somebody leads");
        leader.resume(self.planned(number).run.id).await.expect("resumed");
    }

    /// More runs than the worker has slots: the one that was submitted last waits in the queue.
    pub async fn one_that_waits(&self) -> u64 {
        let last = 5;
        for number in 0..=last {
            self.submit(number).await.expect("accepted");
        }
        self.until_is(0, TaskStatus::Running).await;
        self.until_is(last, TaskStatus::Queued).await;
        last
    }

    pub fn second(&self, number: u64) -> TaskRow {
        let record = self.shared.record(&self.planned(number).run.id).expect("it is in the store");
        record.tasks.into_iter().find(|row| row.key == TaskKey::of_task(1)).expect("a second task")
    }

    pub async fn until_ended(&self, number: u64) {
        for _ in 0..6_000 {
            if self.ended_as(number).await.is_final() {
                return;
            }
            pass(Duration::from_millis(100)).await;
        }
        panic!("it never ended:\n{}", self.shared.trace.lines().join("\n"));
    }

    pub fn row(&self, number: u64) -> Option<TaskRow> {
        let record = self.shared.record(&self.planned(number).run.id)?;
        record.tasks.into_iter().find(|row| row.key == TaskKey::of_task(0))
    }

    pub async fn until_is(&self, number: u64, status: TaskStatus) -> TaskRow {
        for _ in 0..6_000 {
            match self.row(number) {
                Some(row) if row.status == status => return row,
                _ => pass(Duration::from_millis(100)).await,
            }
        }
        panic!("it never became {status}:\n{}", self.shared.trace.lines().join("\n"));
    }

    pub async fn ended_as(&self, number: u64) -> RunStatus {
        let run = self.planned(number).run.id;
        self.shared.record(&run).expect("it is in the store").run.status
    }

    pub fn seconds(&self) -> i64 {
        self.shared.clock.now().as_second() - second(0).as_second()
    }
}
