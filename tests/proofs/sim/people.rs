//! People: they submit, cancel and approve, say it again when nobody answers, and hold the conductor to its word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use relay::{
    conductor::{DecideError, SubmitError, Verdict},
    model::{
        ids::RunId,
        status::TaskStatus,
        task_run::{ApprovalRow, Decision, TaskRow},
    },
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    workload::Planned,
    world::{Shared, pass},
};

pub struct People {
    pub shared: Arc<Shared>,
    pub runs: Vec<RunId>,
    pub over: CancellationToken,
    /// Questions without an answer.
    open: AtomicU64,
    /// People who still want something.
    busy: AtomicU64,
    words: AtomicU64,
}

impl People {
    pub fn new(shared: Arc<Shared>, runs: Vec<RunId>) -> Arc<People> {
        let busy = AtomicU64::new(runs.len() as u64);
        Arc::new(People {
            shared,
            runs,
            over: CancellationToken::new(),
            open: AtomicU64::new(0),
            busy,
            words: AtomicU64::new(0),
        })
    }

    pub fn are_content(&self) -> bool {
        self.open.load(Ordering::Relaxed) + self.busy.load(Ordering::Relaxed) == 0
    }

    /// Asks, and gives up waiting after a while. An answer must come all the same, or the asker's end closes.
    pub async fn ask<T: Send + 'static>(
        self: &Arc<People>,
        question: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let people = self.clone();
        self.open.fetch_add(1, Ordering::Relaxed);
        self.shared.later(async move {
            let answer = question.await;
            people.open.fetch_sub(1, Ordering::Relaxed);
            drop(tell.send(answer));
        });
        tokio::time::timeout(Duration::from_secs(20), told).await.ok().and_then(Result::ok)
    }

    /// Everything that is planned for one run.
    pub async fn follow(self: Arc<People>, planned: Planned) {
        pass(planned.at).await;
        let run = planned.submission.run.id.clone();
        if let Some(after) = planned.poison {
            let (shared, run) = (self.shared.clone(), run.clone());
            self.shared.later(async move {
                pass(after).await;
                shared.poison(&run);
            });
        }
        self.submit(&planned).await;
        if !planned.pauses.is_empty() {
            self.busy.fetch_add(1, Ordering::Relaxed);
            let (people, run) = (self.clone(), run.clone());
            let (born_paused, pauses) = (planned.born_paused, planned.pauses.clone());
            self.shared.later(async move {
                people.pause_now_and_then(&run, born_paused, pauses).await;
                people.busy.fetch_sub(1, Ordering::Relaxed);
            });
        }
        if let Some((after, finally)) = planned.cancel {
            pass(after).await;
            self.cancel(&run, finally).await;
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    async fn submit(self: &Arc<People>, planned: &Planned) {
        let run = &planned.submission.run.id;
        while !self.over.is_cancelled() {
            if let Some((handle, _)) = self.shared.leader_of(run) {
                let submission = planned.submission.clone();
                let answer = self.ask(async move { handle.submit(submission).await }).await;
                self.shared.trace.say(format!("submit {run}: {answer:?}"));
                match answer {
                    Some(Ok(())) if self.shared.record(run).is_none() => {
                        return self
                            .shared
                            .trace
                            .wrong(format!("{run} was accepted, and is not in the store"));
                    }
                    Some(Ok(())) => return,
                    Some(Err(SubmitError::TooMany(_) | SubmitError::NotLeader(_))) => {
                        self.shared.trace.wrong(format!("submit {run}: {answer:?}"));
                    }
                    _ if self.shared.is_poisoned(run) => return,
                    _ => {}
                }
            }
            pass(Duration::from_millis(self.shared.dice.between(200, 2_000))).await;
        }
    }

    async fn cancel(self: &Arc<People>, run: &RunId, finally: bool) {
        while !self.over.is_cancelled() && !self.shared.is_poisoned(run) {
            let ended = self.shared.record(run).is_none_or(|record| record.run.status.is_final());
            if ended {
                return;
            }
            if let Some((handle, _)) = self.shared.leader_of(run) {
                let wanted = run.clone();
                let answer = self.ask(async move { handle.cancel(wanted, finally).await }).await;
                self.shared.trace.say(format!("cancel {run} (finally: {finally}): {answer:?}"));
                if answer == Some(Ok(())) {
                    let record = self.shared.record(run);
                    if record.is_none_or(|r| r.run.stop.is_none() && !r.run.status.is_final()) {
                        self.shared
                            .trace
                            .wrong(format!("{run} was cancelled, and the store does not say so"));
                    }
                    return;
                }
            }
            pass(Duration::from_millis(self.shared.dice.between(200, 2_000))).await;
        }
    }

    /// Looks now and then who waits for an approval, and says something.
    pub async fn approve(self: Arc<People>) {
        while !self.over.is_cancelled() {
            pass(Duration::from_millis(self.shared.dice.between(500, 6_000))).await;
            for run in &self.runs {
                if !self.shared.rows().get(run).is_some_and(|seen| seen.waits_for_approval()) {
                    continue;
                }
                let blocked: Vec<TaskRow> = match self.shared.record(run) {
                    Some(record) if !self.shared.is_poisoned(run) => {
                        record.tasks.into_iter().filter(|t| t.status == TaskStatus::Blocked).collect()
                    }
                    _ => Vec::new(),
                };
                for row in blocked {
                    self.decide(run, &row).await;
                }
            }
        }
    }

    async fn decide(self: &Arc<People>, run: &RunId, row: &TaskRow) {
        let dice = &self.shared.dice;
        let Some((handle, _)) = self.shared.leader_of(run) else { return };
        let Some(record) = self.shared.record(run) else { return };
        let Some(flow) = self.shared.workflows.get(record.run.workflow.as_str()) else { return };
        let wrong = dice.chance(50);
        let verdict = Verdict {
            run: run.clone(),
            task: flow.at(row.key.task).name.clone(),
            asking: if wrong { Some(row.key.round + 1) } else { dice.pick(&[None, Some(row.key.round)]) },
            user: format!("user-{}", dice.below(4)),
            decision: if dice.chance(800) { Decision::Approved } else { Decision::Rejected },
            // So that each word can be told from every other.
            note: Some(format!("word {}", self.words.fetch_add(1, Ordering::Relaxed))),
            verified: dice.chance(500),
        };
        let said = verdict.clone();
        let answer = self.ask(async move { handle.decide(said).await }).await;
        self.shared.trace.say(format!("{} on {run}.{}: {answer:?}", verdict.user, verdict.task));
        let record = self.shared.record(run);
        let approvals = record.map(|record| record.approvals).unwrap_or_default();
        let noted = approvals.iter().any(|a| a.note == verdict.note);
        match answer {
            Some(Ok(())) if wrong => {
                self.shared.trace.wrong("an asking that is not open was decided".to_owned())
            }
            Some(Ok(())) => {
                // Said before by the same person, it is heard already.
                let before = |a: &ApprovalRow| {
                    a.key == row.key && a.user == verdict.user && a.decision == verdict.decision
                };
                if !noted && !approvals.iter().any(before) {
                    self.shared.trace.wrong(format!("{verdict:?} was taken, and the store does not say so"));
                }
            }
            Some(Err(DecideError::Refused(_) | DecideError::NoSuchRun(_) | DecideError::Aside { .. }))
                if noted =>
            {
                self.shared.trace.wrong(format!("{verdict:?} was refused, and the store has it: {answer:?}"));
            }
            Some(Err(DecideError::NoSuchTask { .. })) => {
                self.shared.trace.wrong(format!("{verdict:?}: {answer:?}"));
            }
            _ => {}
        }
    }
}
