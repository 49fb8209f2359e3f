//! The sheet on which one `apply` notes what it changes: the expected state of each row, and the edges taken.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use crate::engine::{Effect, Node, Plan, Refused, Run, Slot, Timer};
use crate::model::{
    change::{Changes, RunChange, Step, TaskChange, note_attempt},
    ids::TaskKey,
    reason::Reason,
    run::Actor,
    status::{RunStatus, TaskStatus},
    task_run::AttemptRow,
};

/// Names of workers that a run keeps for the next start.
const NAMES_KEPT: usize = 1_000;

#[derive(Clone, Debug, Default)]
struct Noted {
    /// Status and attempt before this `apply`; none for a new row.
    expect: Option<(TaskStatus, u32)>,
    steps: Vec<Step<TaskStatus>>,
    attempts: Vec<AttemptRow>,
}

/// What the current `apply` has changed so far.
#[derive(Clone, Debug)]
pub(super) struct Sheet {
    pub(super) now: Timestamp,
    actor: Actor,
    run: Option<(Option<RunStatus>, Vec<Step<RunStatus>>)>,
    tasks: BTreeMap<TaskKey, Noted>,
    approvals: Vec<crate::model::task_run::ApprovalRow>,
    pub(super) effects: Vec<Effect>,
    fault: Option<Refused>,
}

impl Sheet {
    pub(super) fn new(now: Timestamp) -> Sheet {
        Sheet {
            now,
            actor: Actor::Engine,
            run: None,
            tasks: BTreeMap::new(),
            approvals: Vec::new(),
            effects: Vec::new(),
            fault: None,
        }
    }

    /// Begins an `apply`. What a refused one left behind is dropped: it changed no row.
    pub(super) fn open(&mut self, now: Timestamp, actor: Actor) {
        *self = Sheet { actor, ..Sheet::new(now) };
    }

    /// A row is new.
    pub(super) fn birth(&mut self, key: TaskKey) {
        self.tasks.entry(key).or_default();
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn approval(&mut self, row: crate::model::task_run::ApprovalRow) {
        self.approvals.push(row);
    }
}

impl Run {
    /// The row of a task, a group or an item.
    pub(super) fn row_of(&self, key: TaskKey) -> Option<&Slot> {
        let node = self.nodes.get(key.task as usize).filter(|node| node.key.round == key.round)?;
        match key.item {
            None => Some(&node.row),
            Some(item) => node.group.as_ref()?.items.get(item as usize),
        }
    }

    pub(super) fn node(&self, no: u32) -> &Node {
        &self.nodes[no as usize]
    }

    /// The row, to be changed without an edge: noted, so that it is written.
    pub(super) fn touch(&mut self, key: TaskKey) -> &mut Slot {
        let node = &mut self.nodes[key.task as usize];
        let row = match (key.item, &mut node.group) {
            (Some(item), Some(group)) => &mut group.items[item as usize],
            _ => &mut node.row,
        };
        let expect = (row.status, row.attempt);
        self.sheet.tasks.entry(key).or_insert_with(|| Noted { expect: Some(expect), ..Noted::default() });
        row
    }

    /// Takes an edge of the table. Timestamps that follow from the state alone are set here.
    pub(super) fn step(&mut self, key: TaskKey, to: TaskStatus, reason: Option<Reason>) -> &mut Slot {
        let (now, actor) = (self.sheet.now, self.sheet.actor);
        let row = self.touch(key);
        let (from, old_due, attempt) = (row.status, row.due_at(), row.attempt);
        row.enter(to, now);
        row.reason = reason;
        row.set_due(None);
        if let Some(due) = old_due {
            self.timers.remove(&(due, Timer::Task(key)));
        }
        if !from.can_become(to) {
            self.sheet.fault.get_or_insert(Refused::Illegal { key, from, to });
        }
        if let Some(noted) = self.sheet.tasks.get_mut(&key) {
            noted.steps.push(Step { from: Some(from), to, attempt, reason, actor, at: now });
        }
        self.touch(key)
    }

    /// QUEUED -> RUNNING: a worker has the present attempt.
    pub(super) fn run_by(&mut self, key: TaskKey, worker: &str) {
        let worker = self.name_of(worker);
        let row = self.step(key, TaskStatus::Running, None);
        row.worker = Some(worker);
        self.note_attempt(key, |attempt| attempt);
    }

    /// A worker's name, of which all its task runs share one copy.
    fn name_of(&mut self, worker: &str) -> Arc<str> {
        if let Some(name) = self.workers.get(worker) {
            return name.clone();
        }
        let name: Arc<str> = worker.into();
        if self.workers.len() >= NAMES_KEPT {
            self.workers.clear();
        }
        self.workers.insert(name.clone());
        name
    }

    /// The present attempt is over. Said before its row leaves RUNNING, or QUEUED.
    pub(super) fn attempt_over(&mut self, key: TaskKey, reason: Option<Reason>, exit_code: Option<i32>) {
        let ended_at = Some(self.sheet.now);
        self.note_attempt(key, |attempt| AttemptRow { ended_at, reason, exit_code, ..attempt });
    }

    fn note_attempt(&mut self, key: TaskKey, as_it_is: impl FnOnce(AttemptRow) -> AttemptRow) {
        let row = self.touch(key);
        // What a row in QUEUED says of worker and start is of the attempt before.
        let (worker, started_at) = match row.status {
            TaskStatus::Running => (row.worker.clone(), row.started_at()),
            _ => (None, None),
        };
        let attempt = row.attempt;
        let row = AttemptRow { attempt, worker, started_at, ended_at: None, reason: None, exit_code: None };
        if let Some(noted) = self.sheet.tasks.get_mut(&key) {
            note_attempt(&mut noted.attempts, as_it_is(row));
        }
    }

    /// The first edge of a row that is born further on than PENDING.
    pub(super) fn born_in(&mut self, key: TaskKey, to: TaskStatus, reason: Option<Reason>) {
        let (at, actor) = (self.sheet.now, self.sheet.actor);
        let step = Step { from: None, to, attempt: 0, reason, actor, at };
        self.sheet.tasks.entry(key).or_default().steps.push(step);
    }

    /// Wakes the row at `due`.
    pub(super) fn wake_at(&mut self, key: TaskKey, due: Timestamp) {
        self.touch(key).set_due(Some(due));
        self.timers.insert((due, Timer::Task(key)));
    }

    /// The run's own row is new.
    pub(super) fn born_run(&mut self) {
        let (at, actor, to) = (self.sheet.now, self.sheet.actor, self.row.status);
        let reason = self.row.reason;
        self.sheet.run = Some((None, vec![Step { from: None, to, attempt: 0, reason, actor, at }]));
    }

    /// The run's own row is changed without an edge.
    pub(super) fn touch_run(&mut self) -> &mut crate::model::run::RunRow {
        let status = self.row.status;
        self.sheet.run.get_or_insert_with(|| (Some(status), Vec::new()));
        &mut self.row
    }

    /// Takes an edge of the run's table.
    pub(super) fn step_run(&mut self, to: RunStatus, reason: Option<Reason>) {
        let (at, actor) = (self.sheet.now, self.sheet.actor);
        let row = self.touch_run();
        let from = row.status;
        row.status = to;
        row.reason = reason;
        row.finished_at = to.is_final().then_some(at);
        if let Some((_, steps)) = &mut self.sheet.run {
            steps.push(Step { from: Some(from), to, attempt: 0, reason, actor, at });
        }
    }

    /// The list of a forEach that runs is in its group, and nobody reads or writes it in the row again.
    pub(super) fn unpack_no_more(&mut self, key: TaskKey) {
        let node = &mut self.nodes[key.task as usize];
        if key.item.is_none() && node.group.is_some() && node.row.status == TaskStatus::Running {
            node.row.input = None;
        }
    }

    /// Closes the sheet.
    pub(super) fn take_plan(&mut self) -> Result<Plan, Refused> {
        let now = self.sheet.now;
        let sheet = std::mem::replace(&mut self.sheet, Sheet::new(now));
        if let Some(fault) = sheet.fault {
            return Err(fault);
        }
        let mut changes = Changes::new(self.row.shard());
        let of_run = sheet.run.map(|(expect, steps)| RunChange { expect, row: self.row.clone(), steps });
        changes.run = of_run.map(Box::new);
        for (key, noted) in sheet.tasks {
            if let Some(row) = self.row_of(key).map(|slot| slot.row(key)) {
                let Noted { expect, steps, attempts } = noted;
                changes.tasks.insert(key, Box::new(TaskChange { expect, row, steps, attempts }));
                self.unpack_no_more(key);
            }
        }
        changes.approvals = sheet.approvals;
        Ok(Plan { changes, effects: sheet.effects })
    }
}
