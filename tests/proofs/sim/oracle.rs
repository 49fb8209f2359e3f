//! What must hold at the end of every simulation, said without the engine: from rows, history and the executors' ledger.

use std::collections::BTreeMap;

use relay::{
    engine::LOSSES_MAX,
    model::{
        ids::{RunId, TaskKey, TaskRunId},
        job::{JobId, Outcome},
        reason::Reason,
        run::RunRow,
        status::{RunStatus, TaskStatus},
        task::{Action, OnError, OnTimeout, OnWorkerLost, Task},
        task_run::{ApprovalRow, Decision, TaskRow},
        time::later,
        workflow::Workflow,
    },
};
use serde_json::Value;

use super::{executor::Execution, history, world::Shared};

/// Judges the whole of a simulation.
pub async fn judge(shared: &Shared, runs: &[RunId]) {
    let mut ledger: BTreeMap<JobId, Vec<Execution>> = BTreeMap::new();
    for execution in shared.ledger.all() {
        ledger.entry(execution.job.clone()).or_default().push(execution);
    }
    for run in runs {
        let Some(record) = shared.record(run) else { continue };
        let Some(flow) = shared.workflows.get(record.run.workflow.as_str()) else { continue };
        if shared.is_poisoned(run) {
            continue;
        }
        let tasks = record.tasks.into_iter().map(|row| (row.key, row)).collect();
        let end = End { flow, run: record.run, tasks, approvals: record.approvals, ledger: &ledger };
        for row in end.tasks.values() {
            if let Err(why) = end.task(row) {
                shared
                    .trace
                    .wrong(format!("{run}: {:?} is {} ({:?}): {why}", row.key, row.status, row.reason));
            }
        }
        if shared.settings.gentle
            && let Some(row) =
                end.tasks.values().find(|row| row.losses > 0 && !shared.handed().has_echo(&row.id(run)))
        {
            shared.trace.wrong(format!("{run}: {:?} lost a worker, and none was harmed", row.key));
        }
        if let Err(why) = end.begun_once() {
            shared.trace.wrong(format!("{run}: {why}"));
        }
        // What the network put into the queue a second time says nothing of the conductor.
        let begun = ledger.keys().filter(|job| job.task_run.run == *run && !shared.handed().is_echo(job));
        for job in
            begun.filter(|job| end.tasks.get(&job.task_run.key).is_none_or(|row| row.attempt < job.attempt))
        {
            shared.trace.wrong(format!("{job} was run, and its row knows of no such attempt"));
        }
        let own = ledger.iter().filter(|(job, _)| job.task_run.run == *run && !shared.handed().is_echo(job));
        for (job, executions) in own.filter(|(_, executions)| executions.len() > 1) {
            shared.trace.wrong(format!("{job} was run {} times", executions.len()));
        }
        if let Err(why) = end.run() {
            shared.trace.wrong(format!("{run} is {} ({:?}): {why}", end.run.status, end.run.reason));
        }
    }
    history::judge(shared, runs).await;
    for error in shared.trace.errors() {
        if !shared.explained(&error) {
            shared.trace.wrong(format!("an error was logged:{error}"));
        }
    }
}

/// A run as it ended.
struct End<'a> {
    flow: &'a Workflow,
    run: RunRow,
    tasks: BTreeMap<TaskKey, TaskRow>,
    approvals: Vec<ApprovalRow>,
    ledger: &'a BTreeMap<JobId, Vec<Execution>>,
}

type Verdict = Result<(), String>;

fn must(holds: bool, why: &str) -> Verdict {
    if holds { Ok(()) } else { Err(why.to_owned()) }
}

impl End<'_> {
    fn of(&self, no: u32) -> TaskStatus {
        self.tasks.get(&TaskKey::of_task(no)).map_or(TaskStatus::Pending, |row| row.status)
    }

    /// Is this a failure for its dependents?
    fn blocks(&self, no: u32) -> bool {
        match self.of(no) {
            TaskStatus::Failed => self.flow.at(no).on_error == OnError::Fail,
            status => matches!(status, TaskStatus::UpstreamFailed | TaskStatus::Cancelled),
        }
    }

    fn failed_for_good(&self, task: &Task) -> bool {
        self.of(task.no) == TaskStatus::Failed && task.on_error == OnError::Fail
    }

    fn items(&self, no: u32) -> impl Iterator<Item = &TaskRow> {
        self.tasks.values().filter(move |row| row.key.task == no && row.key.item.is_some())
    }

    fn task(&self, row: &TaskRow) -> Verdict {
        let task = self.flow.at(row.key.task);
        must(row.status.is_final(), "it is not final")?;
        must(row.finished_at.is_some(), "it has no end")?;
        match row.status {
            TaskStatus::UpstreamFailed => {
                must(task.depends_on.iter().any(|up| self.blocks(*up)), "no upstream failed")?;
                return must(row.attempt == 0, "it was tried");
            }
            TaskStatus::Skipped => return self.skipped(task, row),
            TaskStatus::Cancelled => return self.cancelled(task, row),
            _ => {}
        }
        let started = row.attempt > 0 || row.status == TaskStatus::Success;
        let blocked =
            task.depends_on.iter().any(|up| self.blocks(*up) || self.of(*up) == TaskStatus::Skipped);
        must(!started || !blocked, "it ran although an upstream failed or was skipped")?;
        must(!started || self.approved(task), "it ran without its approval")?;
        match (task.for_each.is_some(), row.key.item) {
            (true, None) => self.group(task, row),
            _ if task.action == Action::Gate && row.status == TaskStatus::Success => Ok(()),
            _ if row.status == TaskStatus::Success => self.succeeded(row),
            _ => self.failed(task, row),
        }
    }

    fn approved(&self, task: &Task) -> bool {
        let Some(approval) = &task.approval else { return true };
        let yes = |a: &&ApprovalRow| a.key.task == task.no && a.decision == Decision::Approved;
        self.approvals.iter().filter(yes).count() >= approval.required as usize
    }

    fn skipped(&self, task: &Task, row: &TaskRow) -> Verdict {
        match row.reason {
            Some(Reason::WhenFalse) => must(task.when.is_some(), "it has no `when`"),
            Some(Reason::UpstreamSkipped) => must(
                task.depends_on.iter().any(|up| self.of(*up) == TaskStatus::Skipped),
                "no upstream was skipped",
            ),
            Some(Reason::EmptyForEach) => must(task.for_each.is_some(), "it is no forEach"),
            Some(Reason::ApprovalTimedOut) => {
                let skips = task.approval.as_ref().is_some_and(|a| a.on_timeout == OnTimeout::Skip);
                must(skips, "its approval does not skip")
            }
            _ => Err("that is no reason to skip".to_owned()),
        }
    }

    fn cancelled(&self, task: &Task, row: &TaskRow) -> Verdict {
        let item_failed = self.items(task.no).any(|item| item.status == TaskStatus::Failed);
        match row.reason {
            Some(Reason::Cancelled | Reason::RunTimeout) => {
                must(self.run.stop.is_some(), "nothing stopped the run")
            }
            Some(Reason::FailFast) => {
                let of_run = self.flow.fail_fast && self.flow.tasks.iter().any(|t| self.failed_for_good(t));
                let of_each = task.for_each.as_ref().is_some_and(|f| f.fail_fast) && item_failed;
                must(of_run || of_each, "nothing failed fast")
            }
            Some(Reason::FinallyTimeout) => {
                let over = self.run.finally_at.zip(self.flow.timeouts.finally);
                let over = over.is_some_and(|(began, long)| row.finished_at >= Some(later(began, long)));
                must(task.finally && over, "the time of finally was not over")
            }
            _ => Err("that is no reason to cancel".to_owned()),
        }
    }

    fn group(&self, task: &Task, row: &TaskRow) -> Verdict {
        let any = |status| self.items(task.no).any(|item| item.status == status);
        match row.status {
            TaskStatus::Success => {
                let list = row
                    .input
                    .as_ref()
                    .and_then(|input| input.read::<serde_json::Value>()?["items"].as_array().map(Vec::len))
                    .unwrap_or(0);
                let well = self.items(task.no).all(|item| item.status == TaskStatus::Success);
                must(well && self.items(task.no).count() == list, "an item is missing, or did not end well")
            }
            _ => match row.reason {
                Some(Reason::ItemFailed) => must(any(TaskStatus::Failed), "no item failed"),
                Some(Reason::Rejected | Reason::ApprovalTimedOut) => self.refused(task, row),
                _ => Err("that is no reason for a group to fail".to_owned()),
            },
        }
    }

    fn refused(&self, task: &Task, row: &TaskRow) -> Verdict {
        let no = |a: &ApprovalRow| a.key.task == task.no && a.decision == Decision::Rejected;
        match row.reason {
            Some(Reason::Rejected) => must(self.approvals.iter().any(no), "nobody rejected it"),
            _ => {
                let fails = task
                    .approval
                    .as_ref()
                    .is_some_and(|a| a.timeout.is_some() && a.on_timeout == OnTimeout::Fail);
                must(fails, "its approval has no such end")
            }
        }
    }

    /// The executions of the row's last attempt.
    fn executions(&self, row: &TaskRow) -> impl Iterator<Item = &Execution> {
        let job = JobId { task_run: row.id(&self.run.id), attempt: row.attempt };
        self.ledger.get(&job).into_iter().flatten()
    }

    fn succeeded(&self, row: &TaskRow) -> Verdict {
        let output = row.output.as_deref();
        let same = |execution: &Execution| match &execution.outcome {
            Some(Outcome::Success { outputs }) => {
                output == Some(&Value::Object(outputs.clone().into_iter().collect()))
            }
            _ => false,
        };
        must(self.executions(row).any(same), "no execution of its attempt ended well with these outputs")
    }

    /// A task with `onWorkerLost: Fail` begins again only after a failure that was told.
    fn begun_once(&self) -> Verdict {
        let mut before: BTreeMap<&TaskRunId, &Execution> = BTreeMap::new();
        for (job, all) in self.ledger.iter().filter(|(job, _)| job.task_run.run == self.run.id) {
            if self.flow.at(job.task_run.key.task).on_worker_lost != OnWorkerLost::Fail {
                continue;
            }
            for execution in all {
                let before = before.insert(&job.task_run, execution);
                if before.is_some_and(|e| !matches!(e.outcome, Some(Outcome::Failed { .. }))) {
                    return Err(format!(
                        "{job} was begun, is made at most once, and was begun before: {before:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    fn failed(&self, task: &Task, row: &TaskRow) -> Verdict {
        match row.reason {
            Some(Reason::WorkerLost) => {
                let once = task.on_worker_lost == OnWorkerLost::Fail && row.losses > 0;
                must(once || row.losses == LOSSES_MAX + 1, "it lost too few workers for that")
            }
            Some(Reason::Rejected | Reason::ApprovalTimedOut) => self.refused(task, row),
            Some(Reason::Timeout | Reason::ExitCode) => {
                let badly = |e: &Execution| matches!(e.outcome, Some(Outcome::Failed { .. }));
                must(self.executions(row).any(badly), "no execution of its attempt ended badly")?;
                let stopped = self.run.stop.is_some()
                    || self.flow.fail_fast
                    || task.for_each.as_ref().is_some_and(|f| f.fail_fast)
                    || (task.finally && self.flow.timeouts.finally.is_some());
                must(
                    stopped || row.failures == task.retry.limit + 1,
                    "it was not tried often enough, or too often",
                )
            }
            _ => Err("that is no reason to fail".to_owned()),
        }
    }

    fn run(&self) -> Verdict {
        must(self.run.finished_at.is_some(), "it has no end")?;
        must(self.run.paused_at.is_none(), "it ended, and is paused")?;
        for task in &self.flow.tasks {
            must(self.tasks.contains_key(&TaskKey::of_task(task.no)), "a task has no row")?;
        }
        let failed =
            |finally| self.flow.tasks.iter().any(|t| t.finally == finally && self.failed_for_good(t));
        let late = self.tasks.values().any(|row| row.reason == Some(Reason::FinallyTimeout));
        let expected = match &self.run.stop {
            Some(stop) if stop.reason == Reason::Cancelled => (RunStatus::Cancelled, Some(Reason::Cancelled)),
            Some(stop) => (RunStatus::Failed, Some(stop.reason)),
            None if failed(false) => (RunStatus::Failed, Some(Reason::TaskFailed)),
            None if late => (RunStatus::Failed, Some(Reason::FinallyTimeout)),
            None if failed(true) => (RunStatus::Failed, Some(Reason::FinallyFailed)),
            None => (RunStatus::Success, None),
        };
        let is = (self.run.status, self.run.reason);
        if is == expected { Ok(()) } else { Err(format!("its tasks say {expected:?}")) }
    }
}
