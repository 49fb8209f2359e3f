//! A batch in memory: checked as a whole, then written.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    ids::{RunId, TaskKey, WorkflowId},
    run::RunRow,
};
use crate::store::{
    Entity, StoreError,
    memory::{FINISHED_MAX, Inner, Kept, deposed},
    prepare::{Prepared, TaskWrite, sets_input},
};

/// Where an entity's history is kept.
pub(super) fn place(entity: &Entity) -> (&RunId, Option<TaskKey>) {
    match entity {
        Entity::Run(id) => (id, None),
        Entity::TaskRun(id) => (&id.run, Some(id.key)),
    }
}

impl Inner {
    /// All of it or nothing.
    pub(super) fn commit(&mut self, batch: Prepared) -> Result<(), StoreError> {
        self.check_fences(&batch)?;
        self.check_rows(&batch)?;
        self.check_parents(&batch)?;
        self.write(batch);
        Ok(())
    }

    fn check_fences(&self, batch: &Prepared) -> Result<(), StoreError> {
        for (fence, _) in &batch.fences {
            let held = self.shards.get(&fence.shard);
            if held.is_none_or(|lead| (lead.epoch, lead.seq) != (fence.epoch, fence.seq)) {
                return Err(deposed(fence));
            }
        }
        Ok(())
    }

    /// Is every row where the batch expects it?
    fn check_rows(&self, batch: &Prepared) -> Result<(), StoreError> {
        let run_is =
            |expect: &Option<_>, row: &RunRow| self.runs.get(&row.id).map(|kept| kept.run.status) == *expect;
        let task_is = |task: &TaskWrite| {
            let row = self.runs.get(&task.run).and_then(|kept| kept.tasks.get(&task.row.key));
            row.map(|row| (row.status, row.attempt)) == task.expect
        };
        let runs = batch.runs.iter().filter(|(expect, row)| !run_is(expect, row)).count();
        let count = runs + batch.tasks.iter().filter(|task| !task_is(task)).count();
        if count == 0 { Ok(()) } else { Err(StoreError::Conflict { count }) }
    }

    /// What a database's foreign keys say: a row refers only to what is there.
    fn check_parents(&self, batch: &Prepared) -> Result<(), StoreError> {
        let born: BTreeMap<&RunId, &WorkflowId> =
            batch.runs.iter().map(|(_, row)| (&row.id, &row.workflow)).collect();
        let pinned = |run: &RunId| {
            let kept = self.runs.get(run).map(|kept| &kept.run.workflow);
            kept.or(born.get(run).copied()).and_then(|workflow| self.revisions.get(workflow))
        };
        let refused = |what: String| Err(StoreError::Refused(what));
        if let Some((_, row)) = batch.runs.iter().find(|(_, row)| pinned(&row.id).is_none()) {
            return refused(format!("{}: its revision {} is not there", row.id, row.workflow));
        }
        let mut tasks = BTreeSet::new();
        for task in &batch.tasks {
            let known = pinned(&task.run).map(|revision| revision.tasks.len()).unwrap_or_default();
            if task.row.key.task as usize >= known {
                return refused(format!("{}: its revision has no such task", task.row.id(&task.run)));
            }
            tasks.insert((&task.run, task.row.key));
        }
        for (run, said) in &batch.approvals {
            let kept = self.runs.get(run).is_some_and(|kept| kept.tasks.contains_key(&said.key));
            if !kept && !tasks.contains(&(run, said.key)) {
                return refused(format!("{run}: an approval of a task run that is not there"));
            }
        }
        Ok(())
    }

    /// Everything is known to fit: from here on nothing fails.
    fn write(&mut self, batch: Prepared) {
        for (fence, seq) in batch.fences {
            self.shards.entry(fence.shard).or_default().seq = seq;
        }
        for (_, row) in batch.runs {
            self.write_run(row);
        }
        for TaskWrite { run, expect, mut row, .. } in batch.tasks {
            if let Some(kept) = self.runs.get_mut(&run) {
                if let Some(old) = kept.tasks.remove(&row.key) {
                    row.created_at = old.created_at;
                    if !sets_input(expect) {
                        row.input = old.input;
                    }
                }
                kept.tasks.insert(row.key, row);
            }
        }
        for row in batch.history {
            let (run, key) = place(&row.entity);
            if let Some(kept) = self.runs.get_mut(run) {
                kept.history.entry(key).or_default().push(row.seq);
                self.history.insert((row.shard, row.seq), row);
            }
        }
        for (task, made) in batch.attempts {
            if let Some(kept) = self.runs.get_mut(&task.run) {
                kept.attempts.insert((task.key, made.attempt), made);
            }
        }
        for (run, said) in batch.approvals {
            if let Some(kept) = self.runs.get_mut(&run) {
                kept.approvals.push(said);
            }
        }
        while self.finished.len() > FINISHED_MAX {
            if let Some(oldest) = self.finished.pop_front() {
                self.forget(&oldest);
            }
        }
    }

    /// A run goes with its history and its logs.
    pub(super) fn forget(&mut self, id: &RunId) {
        if let Some(kept) = self.runs.remove(id) {
            let shard = kept.run.shard();
            for seq in kept.history.into_values().flatten() {
                self.history.remove(&(shard, seq));
            }
        }
        self.logs.forget(id);
    }

    /// What a run was accepted with stays as it was.
    fn write_run(&mut self, row: RunRow) {
        let was_final = self.runs.get(&row.id).is_some_and(|kept| kept.run.status.is_final());
        match (was_final, row.status.is_final()) {
            (false, true) => self.finished.push_back(row.id.clone()),
            (true, false) => self.finished.retain(|id| *id != row.id),
            _ => {}
        }
        match self.runs.get_mut(&row.id) {
            None => {
                let id = row.id.clone();
                let kept = Kept {
                    run: row,
                    tasks: BTreeMap::new(),
                    approvals: Vec::new(),
                    history: BTreeMap::new(),
                    attempts: BTreeMap::new(),
                };
                self.runs.insert(id, kept);
            }
            Some(kept) => {
                let old = &kept.run;
                kept.run = RunRow {
                    workflow: old.workflow.clone(),
                    namespace: old.namespace.clone(),
                    name: old.name.clone(),
                    params: old.params.clone(),
                    created_at: old.created_at,
                    ..row
                };
            }
        }
    }
}
