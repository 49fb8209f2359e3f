//! The job of a task run: what its row and its workflow say a worker shall do.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::engine::{Run, scope};
use crate::model::{
    ids::{TaskKey, TaskRunId},
    job::{Inputs, Job, JobId, PROTOCOL, Program},
    json::Text,
    task::{Action, OnWorkerLost, Task, TaskNo},
};

impl Run {
    /// The job of the present attempt; none for what has no process (a gate, a group).
    pub fn job(&self, key: TaskKey) -> Option<Job> {
        let row = self.row_of(key)?;
        let group = |t: &&Task| t.for_each.is_some() && key.item.is_none();
        let task = self.workflow.task(key.task).filter(|t| !group(t))?;
        let inputs: Inputs = row.input.as_ref()?.read()?;
        let program = match &task.action {
            Action::Command(_) => Program::Command(inputs.argv.unwrap_or_default()),
            Action::Script(text) => Program::Script(text.clone()),
            Action::Noop => Program::Noop,
            Action::Gate => return None,
        };
        Some(Job {
            version: PROTOCOL,
            id: JobId { task_run: TaskRunId { run: self.row.id.clone(), key }, attempt: row.attempt },
            pool: format!("{}/{}", self.row.namespace, task.pool),
            rank: row.ready_at().map_or(0, |at| at.as_millisecond()),
            run_name: self.row.name.clone(),
            task_name: task.name.clone(),
            program,
            env: inputs.env,
            timeout: task.timeout,
            outputs: task.outputs.clone(),
            at_most_once: task.on_worker_lost == OnWorkerLost::Fail,
            item: key.item.and_then(|i| self.node(key.task).group.as_ref()?.list.get(i as usize)),
            input: self.node(key.task).document.get_or_init(|| self.document(key.task)).clone()?,
        })
    }

    /// What the jobs of a task share of `$RELAY_INPUT`: made from final rows and params alone, so it is the same at
    /// each attempt, and once for all items.
    fn document(&self, no: TaskNo) -> Option<Text> {
        #[derive(Serialize)]
        struct Document<'a> {
            params: &'a Text,
            run: Value,
            tasks: Map<String, Value>,
        }
        let task = self.workflow.at(no);
        let upstream = |no: &u32| {
            let (task, node) = (self.workflow.at(*no), self.node(*no));
            let value = json!({ "status": node.row.status.as_str(), "outputs": scope::outputs(task, node) });
            (task.name.clone(), value)
        };
        let status = if task.finally { self.coming_status().0.as_str() } else { "RUNNING" };
        let document = Document {
            params: &self.row.params,
            run: self.run_value(status),
            tasks: task.depends_on.iter().map(upstream).collect(),
        };
        Text::of_sorted(&document).ok()
    }
}
