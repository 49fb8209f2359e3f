//! A store in miniature: it keeps the rows, and refuses a plan that no honest engine would hand out.

use std::collections::{BTreeMap, BTreeSet};

use relay::{
    engine::{Effect, Plan, Run},
    model::{
        change::{Changes, Step, TaskChange},
        ids::TaskKey,
        run::RunRow,
        status::{RunStatus, TASK_BIRTHS, TaskStatus},
        task_run::{ApprovalRow, AttemptRow, TaskRow},
    },
};

/// The rows as committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    pub run: Option<RunRow>,
    pub tasks: BTreeMap<TaskKey, TaskRow>,
    pub approvals: Vec<ApprovalRow>,
    /// By task run and number.
    pub attempts: BTreeMap<(TaskKey, u32), AttemptRow>,
    /// The highest attempt for which a worker may have seen a job; lower by one when the queue took it back unseen.
    seen: BTreeMap<TaskKey, u32>,
    /// Edges so far.
    pub history: usize,
}

impl Book {
    /// Takes a plan that came of an event; `Err` says what is wrong with it.
    pub fn commit(&mut self, plan: &Plan) -> Result<(), String> {
        let before = self.history;
        self.write(&plan.changes)?;
        if self.history - before != plan.changes.history_rows() {
            return Err("history_rows miscounts the edges".to_owned());
        }
        plan.effects.iter().try_for_each(|effect| self.check_effect(effect))
    }

    fn is_paused(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.paused_at.is_some())
    }

    fn write(&mut self, changes: &Changes) -> Result<(), String> {
        if let Some(change) = &changes.run {
            let found = self.run.as_ref().map(|r| r.status);
            if change.expect != found {
                return Err(format!("the run is {found:?}, expected {:?}", change.expect));
            }
            let last = chain(found, &change.steps, RunStatus::can_become)?;
            if last != Some(change.row.status) {
                return Err(format!("the run's edges end in {last:?}, its row in {}", change.row.status));
            }
            if change.row.paused_at.is_some() && (change.row.status.is_final() || change.row.stop.is_some()) {
                return Err("a run that ended, or is being stopped, is paused".to_owned());
            }
            if change.row.status.is_final() != change.row.finished_at.is_some() {
                return Err("the run's end has no time, or a time without an end".to_owned());
            }
            self.history += change.steps.len();
            self.run = Some(change.row.clone());
        }
        for (key, change) in &changes.tasks {
            self.write_task(*key, change).map_err(|why| format!("{key:?}: {why}"))?;
        }
        self.approvals.extend(changes.approvals.iter().cloned());
        Ok(())
    }

    fn write_task(&mut self, key: TaskKey, change: &TaskChange) -> Result<(), String> {
        let (row, old) = (&change.row, self.tasks.get(&key));
        if row.key != key {
            return Err(format!("its row is of {:?}", row.key));
        }
        if change.expect != old.map(|r| (r.status, r.attempt)) {
            return Err(format!("expected {:?}, found {old:?}", change.expect));
        }
        if old.is_some_and(|r| r.status.is_final()) {
            return Err(format!("a final row is changed to {row:?}"));
        }
        // A row is born in PENDING without an edge, or elsewhere with one.
        let born_on = change.steps.first().is_some_and(|s| s.from.is_none());
        let found = old.map(|r| r.status).or((!born_on).then_some(TaskStatus::Pending));
        let last = chain(found, &change.steps, TaskStatus::can_become)?;
        if last != Some(row.status) {
            return Err(format!("its edges end in {last:?}, its row in {}", row.status));
        }
        let birth = change.steps.first().filter(|_| born_on);
        if let Some(step) = birth.filter(|step| !TASK_BIRTHS.contains(&step.to)) {
            return Err(format!("born in {}", step.to));
        }
        if row.status.is_final() != row.finished_at.is_some() {
            return Err("an end without a time, or a time without an end".to_owned());
        }
        let due = matches!(row.status, TaskStatus::Blocked | TaskStatus::Retrying);
        if row.due_at.is_some() && !due {
            return Err(format!("something is due while it is {}", row.status));
        }
        // QUEUED -> READY with the number below: the queue took the job back unseen.
        let unseen = old.is_some_and(|r| r.status == TaskStatus::Queued && row.attempt + 1 == r.attempt);
        // As in a store: written when the row leaves PENDING, and not again.
        let kept = old.filter(|old| old.status != TaskStatus::Pending).map(|old| old.input.clone());
        self.write_attempts(key, change)?;
        self.history += change.steps.len();
        if unseen {
            self.seen.insert(key, row.attempt);
        }
        let input = kept.unwrap_or_else(|| row.input.clone());
        self.tasks.insert(key, TaskRow { input, ..row.clone() });
        Ok(())
    }

    /// An attempt has a worker from RUNNING on and an end from its end on, and stays as it is from then on.
    fn write_attempts(&mut self, key: TaskKey, change: &TaskChange) -> Result<(), String> {
        let mut numbers = BTreeSet::new();
        for made in &change.attempts {
            let kept = self.attempts.insert((key, made.attempt), made.clone());
            let once = numbers.insert(made.attempt);
            if !once || kept.as_ref().is_some_and(|kept| kept.ended_at.is_some()) {
                return Err(format!("attempt {} was {kept:?} and is {made:?}", made.attempt));
            }
        }
        for step in change.steps.iter().filter(|step| step.attempt > 0) {
            let made = self.attempts.get(&(key, step.attempt));
            let well = match (step.from, step.to) {
                (_, TaskStatus::Running) => made.is_some_and(|made| made.started_at == Some(step.at)),
                (Some(TaskStatus::Running), _) => {
                    made.is_some_and(|made| (made.ended_at, made.reason) == (Some(step.at), step.reason))
                }
                _ => true,
            };
            if !well {
                return Err(format!("{:?} -> {}, and its attempt is {made:?}", step.from, step.to));
            }
        }
        Ok(())
    }

    fn check_effect(&mut self, effect: &Effect) -> Result<(), String> {
        let (key, again) = match effect {
            Effect::Publish(key) => (key, false),
            Effect::Republish(key) => (key, true),
            Effect::Go { key, attempt } => {
                let row = self.tasks.get(key).map(|row| (row.status, row.attempt));
                return match row == Some((TaskStatus::Running, *attempt)) {
                    true => Ok(()),
                    false => Err(format!("{key:?} may begin attempt {attempt}, and is {row:?}")),
                };
            }
            Effect::Offer(_) if self.is_paused() => return Err(format!("{effect:?} in a paused run")),
            _ => return Ok(()),
        };
        if self.is_paused() {
            return Err(format!("{key:?} is published, and the run is paused"));
        }
        let row = self.tasks.get(key).ok_or(format!("published without a row: {key:?}"))?;
        let before = self.seen.insert(*key, row.attempt).unwrap_or(0);
        let fits = row.attempt > before || (again && row.attempt == before);
        if row.status != TaskStatus::Queued || !fits {
            return Err(format!(
                "{key:?} is published as {} attempt {} after {before}",
                row.status, row.attempt
            ));
        }
        Ok(())
    }

    /// Does the run in memory hold what was committed, and nothing else?
    pub fn agrees(&self, run: &Run) -> Result<(), String> {
        if self.run.as_ref() != Some(run.row()) {
            return Err(format!("the run in memory is {:?}, committed {:?}", run.row(), self.run));
        }
        let mut held: BTreeMap<TaskKey, TaskRow> = run.task_runs().map(|r| (r.key, r)).collect();
        for (key, row) in held.iter_mut().filter(|(key, _)| key.item.is_none()) {
            // The list of a forEach at work is in memory once, apart from its row.
            if row.input.is_none() && run.element(key.with_item(0)).is_some() {
                row.input = self.tasks.get(key).and_then(|row| row.input.clone());
            }
        }
        if let Some((key, row)) = self.tasks.iter().find(|(key, row)| held.get(key) != Some(row)) {
            return Err(format!("{key:?} in memory is {:?}, committed {row:?}", held.get(key)));
        }
        if held.len() != self.tasks.len() {
            return Err("memory holds rows that were not committed".to_owned());
        }
        Ok(())
    }

    /// The run again, from these rows.
    pub fn restore(&self, like: &Run, now: jiff::Timestamp) -> (Run, Plan) {
        let row = self.run.clone().expect("a run that was begun has a row");
        let tasks = self.tasks.values().cloned().collect();
        Run::restore(like.workflow().clone(), row, tasks, self.approvals.clone(), now)
            .expect("its own rows are valid")
    }
}

/// Follows edges from `found`; gives the state in which they end.
fn chain<S: Copy + PartialEq + std::fmt::Debug>(
    found: Option<S>,
    steps: &[Step<S>],
    legal: impl Fn(S, S) -> bool,
) -> Result<Option<S>, String> {
    let mut state = found;
    for step in steps {
        if step.from != state {
            return Err(format!("an edge leaves {:?} while the row is in {state:?}", step.from));
        }
        if step.from.is_some_and(|from| !legal(from, step.to)) {
            return Err(format!("no such edge: {:?} -> {:?}", step.from, step.to));
        }
        state = Some(step.to);
    }
    Ok(state)
}
