//! People who pause runs and let them go on, and what must not happen in between: nothing is queued, nothing published,
//! and no worker is given a job that was not its before.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use relay::{
    conductor::DecideError,
    engine::Refused,
    model::{
        change::Batch,
        ids::{RunId, TaskRunId},
        job::{Job, JobId},
        status::TaskStatus,
    },
    store::RunRecord,
};

use super::{
    people::People,
    workload::Pause,
    world::{Shared, pass},
};

/// What workers were given, and what the network made twice.
#[derive(Default)]
pub struct Handed {
    /// Jobs that some worker was given; it may be told again what it holds.
    given: BTreeSet<JobId>,
    /// Jobs that came into the queue a second time, without anybody's doing.
    echoes: BTreeSet<JobId>,
}

impl Handed {
    pub fn echo(&mut self, jobs: &[Job]) {
        self.echoes.extend(jobs.iter().map(|job| job.id.clone()));
    }

    /// Did any attempt of a task run come a second time by itself? What was said of that one may hit the next of its number.
    pub fn has_echo(&self, task_run: &TaskRunId) -> bool {
        self.echoes.iter().any(|job| job.task_run == *task_run)
    }

    pub fn is_echo(&self, job: &JobId) -> bool {
        self.echoes.contains(job)
    }
}

impl Shared {
    /// A worker is given jobs. Of a paused run it may be one that was QUEUED before the pause and not taken back yet.
    pub fn given(&self, jobs: &[Job]) {
        let mut handed = self.handed();
        for Job { id, .. } in jobs {
            let first = handed.given.insert(id.clone()) && !handed.is_echo(id);
            let rows = self.rows();
            let seen = rows.get(&id.task_run.run).filter(|seen| first && seen.paused_at.is_some());
            let Some(seen) = seen else { continue };
            let now = seen.tasks.get(&id.task_run.key).copied();
            let claimable =
                [TaskStatus::Queued, TaskStatus::Running].map(|status| Some((status, id.attempt)));
            if !claimable.contains(&now) {
                self.trace.wrong(format!("a worker gets {id}, its run is paused and the store says {now:?}"));
            }
        }
    }

    /// What a commit left of a run that is paused now.
    pub fn paused(&self, batch: &Batch) {
        for (id, changes) in &batch.runs {
            let rows = self.rows();
            let Some(seen) = rows.get(id) else { continue };
            let Some(since) = seen.paused_at else { continue };
            if seen.stopped || seen.status.is_final() {
                self.trace.wrong(format!("{id} is paused, and {} (stopped: {})", seen.status, seen.stopped));
            }
            let steps = changes.tasks.values().flat_map(|change| &change.steps);
            if let Some(step) = steps.into_iter().find(|s| s.to == TaskStatus::Queued && s.at >= since) {
                self.trace.wrong(format!("{id} is paused since {since}, and something is queued: {step:?}"));
            }
        }
    }
}

impl People {
    /// Pauses a run, as planned; whatever happens, it goes on in the end.
    pub async fn pause_now_and_then(self: &Arc<People>, run: &RunId, born_paused: bool, pauses: Vec<Pause>) {
        for (number, pause) in pauses.into_iter().enumerate() {
            if number > 0 || !born_paused {
                pass(pause.after).await;
                self.steer(run, true).await;
            }
            match pause.lasts {
                Some(long) => pass(long).await,
                None => {
                    while self.shared.faults_on() {
                        pass(Duration::from_secs(1)).await;
                    }
                    pass(Duration::from_secs(self.shared.dice.between(1, 100))).await;
                }
            }
            self.steer(run, false).await;
        }
    }

    /// Says it until it is heard, or until the run has ended.
    async fn steer(self: &Arc<People>, run: &RunId, pause: bool) {
        let what = if pause { "pause" } else { "resume" };
        while !self.over.is_cancelled() && !self.shared.is_poisoned(run) {
            let ended = |record: RunRecord| record.run.status.is_final();
            if self.shared.record(run).is_none_or(ended) {
                return;
            }
            if let Some((handle, _)) = self.shared.leader_of(run) {
                let wanted = run.clone();
                let asking = async move {
                    if pause { handle.pause(wanted).await } else { handle.resume(wanted).await }
                };
                let answer = self.ask(asking).await;
                self.shared.trace.say(format!("{what} {run}: {answer:?}"));
                let heard = self.shared.record(run).is_some_and(|record| {
                    let row = record.run;
                    row.status.is_final() || row.stop.is_some() || row.paused_at.is_some() == pause
                });
                match answer {
                    Some(Ok(())) if heard => return,
                    Some(Ok(())) => {
                        return self
                            .shared
                            .trace
                            .wrong(format!("{what} {run} was taken, and the store does not say so"));
                    }
                    Some(Err(DecideError::Refused(Refused::Stopping(_)))) if pause => return,
                    Some(Err(DecideError::Refused(Refused::Stopping(_)))) => {
                        self.shared.trace.wrong(format!("{what} {run}: {answer:?}"));
                    }
                    _ => {}
                }
            }
            pass(Duration::from_millis(self.shared.dice.between(200, 2_000))).await;
        }
    }
}
