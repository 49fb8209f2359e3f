//! What people say of a task that waits for them.

use crate::engine::{Refused, Run};
use crate::model::{
    reason::Reason,
    status::TaskStatus,
    task::TaskNo,
    task_run::{ApprovalRow, Decision},
};

impl Run {
    /// Different users count; a rejection ends the asking; who said yes before changes nothing by saying it again.
    pub(super) fn decided(&mut self, no: TaskNo, asking: u32, word: ApprovalRow) -> Result<(), Refused> {
        let workflow = self.workflow.clone();
        let task = workflow.task(no).ok_or(Refused::Unknown(word.key))?;
        let node = self.node(no);
        let key = node.key;
        if node.row.status != TaskStatus::Blocked || key.round != asking {
            let (status, asking) = (node.row.status, key.round);
            return Err(Refused::NotAsking { task: task.name.clone(), status, asking });
        }
        let word = ApprovalRow { key, ..word };
        let again = node.approvals.iter().any(|a| a.user == word.user && a.decision == word.decision);
        if again {
            return Ok(());
        }
        self.nodes[no as usize].approvals.push(word.clone());
        self.sheet.approval(word.clone());
        if word.decision == Decision::Rejected {
            let note = word.note.map(|n| format!(": {n}")).unwrap_or_default();
            self.fail(key, Reason::Rejected, &format!("rejected by {}{note}", word.user));
            return Ok(());
        }
        let yes = self.node(no).approvals.iter().filter(|a| a.decision == Decision::Approved).count();
        let required = task.approval.as_ref().map_or(1, |a| a.required.max(1));
        if yes >= required as usize {
            self.step(key, TaskStatus::Ready, Some(Reason::Approved));
            self.proceed(task, key);
        }
        Ok(())
    }
}
