//! Workflows and runs, as a seed has them: random DAGs with everything that a task may be.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use relay::{
    conductor::Submission,
    model::{
        expr::{Expr, Template},
        ids::WorkflowId,
        run::RunRow,
        task::{Action, Approval, ForEach, OnError, OnTimeout, OnWorkerLost, Retry, Task},
        workflow::{Timeouts, Workflow},
    },
    store::{Revision, TaskRecord},
};
use serde_json::{Value, json};

use super::executor::plan;
use crate::support::dice::Dice;

/// The namespaces of the simulation: two shards.
pub const NAMESPACES: [&str; 2] = ["data", "web"];

/// A run, and what people will do to it.
pub struct Planned {
    pub submission: Submission,
    pub at: Duration,
    pub cancel: Option<(Duration, bool)>,
    /// Is it born paused?
    pub born_paused: bool,
    /// Pauses, one after the other; a run that is born paused begins with the end of one.
    pub pauses: Vec<Pause>,
    /// From when on the store refuses it.
    pub poison: Option<Duration>,
}

/// A pause of a run.
#[derive(Clone, Debug)]
pub struct Pause {
    /// How long after the one before, or after the run was accepted.
    pub after: Duration,
    /// How long it lasts; none: until a while after the last fault.
    pub lasts: Option<Duration>,
}

/// What one seed runs.
pub struct Load {
    pub workflows: BTreeMap<String, Workflow>,
    pub runs: Vec<Planned>,
}

fn expr(source: &str) -> Expr {
    Expr::parse(source).expect("an expression of the simulation")
}

fn template(source: &str) -> Template {
    Template::parse(source).expect("a template of the simulation")
}

fn seconds(dice: &Dice, from: u64, to: u64) -> Duration {
    Duration::from_millis(dice.between(from * 1_000, to * 1_000))
}

/// The load of a seed. `split`: in both shards at least when there are several workflows.
pub fn load(seed: u64, runs: u64, split: bool, now: Timestamp) -> Load {
    let dice = Dice::new(seed ^ 0x10ad);
    let namespaces = if dice.chance(300) || split { 2 } else { 1 };
    let kinds = dice.between(1, 3).max(namespaces);
    let mut flows: Vec<Arc<Workflow>> = Vec::new();
    for kind in 0..kinds {
        let namespace = NAMESPACES[(kind % namespaces) as usize];
        flows.push(Arc::new(Workflow::new(workflow(&dice, namespace, kind)).expect("a DAG")));
    }
    // Of their own, so that the rest of a seed's load does not depend on them.
    let dice_of_pauses = Dice::new(seed ^ 0x9a05e);
    let planned = |number: u64| {
        let flow = flows[dice.below(kinds) as usize].clone();
        let poison = dice.chance(30);
        let items = if dice.chance(8) { dice.between(400, 1_100) } else { dice.below(6) };
        let (born_paused, pauses) = pauses(&dice_of_pauses);
        let mut submission = submission(flow, number, items, now);
        submission.run.paused_at = born_paused.then_some(now);
        Planned {
            submission,
            at: seconds(&dice, 0, 20),
            cancel: dice.chance(200).then(|| (seconds(&dice, 0, 40), dice.chance(500))),
            poison: poison.then(|| seconds(&dice, 0, 20)),
            born_paused,
            pauses,
        }
    };
    let runs = (0..runs).map(planned).collect();
    let workflows = flows.iter().map(|f| (f.id.to_string(), f.as_ref().clone())).collect();
    Load { workflows, runs }
}

/// Is the run born paused, and how is it paused later?
fn pauses(dice: &Dice) -> (bool, Vec<Pause>) {
    let one = |_| Pause {
        after: if dice.chance(300) { Duration::from_millis(dice.below(50)) } else { seconds(dice, 0, 25) },
        lasts: dice.chance(850).then(|| seconds(dice, 0, dice.pick(&[1, 10, 60]))),
    };
    let born_paused = dice.chance(100);
    let count = if dice.chance(400) { dice.between(1, 4) } else { u64::from(born_paused) };
    (born_paused, (0..count).map(one).collect())
}

/// One task that takes so many milliseconds and ends well.
pub fn one_task(milliseconds: u64) -> Workflow {
    let calm = Dice::new(0);
    let one = Task {
        when: None,
        for_each: None,
        env: vec![("PLAN".to_owned(), template(&plan(milliseconds, 0)))],
        action: Action::Command(vec![template("run")]),
        approval: None,
        timeout: None,
        on_worker_lost: OnWorkerLost::Retry,
        ..task(&calm, "t0", Vec::new(), false)
    };
    let drawn = workflow(&calm, NAMESPACES[0], 0);
    let timeouts = Timeouts::default();
    Workflow::new(Workflow { tasks: vec![one], fail_fast: false, max_parallel: None, timeouts, ..drawn })
        .expect("one task is a DAG")
}

/// Two of them, one after the other.
pub fn two_tasks(milliseconds: u64) -> Workflow {
    let one = one_task(milliseconds);
    let first = one.tasks[0].clone();
    let second =
        Task { name: "t1".to_owned(), cel_name: "t1".to_owned(), depends_on: vec![0], ..first.clone() };
    Workflow::new(Workflow { tasks: vec![first, second], ..one }).expect("a chain is a DAG")
}

/// A run of a workflow over so many items.
pub fn submission(flow: Arc<Workflow>, number: u64, items: u64, now: Timestamp) -> Submission {
    let id = format!("run-{number}").parse().expect("a run id");
    let name = format!("{}-{number}", flow.name);
    let run = RunRow {
        params: (&json!({ "n": 2, "list": (0..items).collect::<Vec<_>>() })).into(),
        ..RunRow::new(id, flow.id.clone(), flow.namespace.clone(), name, now)
    };
    Submission { revision: revision(&flow), workflow: flow, run }
}

fn revision(flow: &Workflow) -> Revision {
    let record = |task: &Task| TaskRecord {
        name: task.name.clone(),
        config: Value::Null,
        requires_approval: task.approval.is_some(),
        depends_on: task.depends_on.iter().map(|no| flow.tasks[*no as usize].name.clone()).collect(),
    };
    Revision {
        id: flow.id.clone(),
        namespace: flow.namespace.clone(),
        name: flow.name.clone(),
        definition: json!({}),
        tasks: flow.tasks.iter().map(record).collect(),
    }
}

fn workflow(dice: &Dice, namespace: &str, kind: u64) -> Workflow {
    let (main, finally) = (dice.between(1, 7), if dice.chance(400) { dice.between(1, 2) } else { 0 });
    let mut tasks = Vec::new();
    for no in 0..main {
        let ups = (0..no).filter(|_| dice.chance(350)).map(|up| up as u32).collect();
        tasks.push(task(dice, &format!("t{no}"), ups, false));
    }
    for no in 0..finally {
        let ups = if no > 0 && dice.chance(500) { vec![main as u32] } else { Vec::new() };
        tasks.push(task(dice, &format!("f{no}"), ups, true));
    }
    let name = format!("flow-{kind}");
    Workflow {
        id: WorkflowId::new(namespace, &name, "0123456789abcdef"),
        namespace: namespace.to_owned(),
        name,
        params: Vec::new(),
        outputs: Vec::new(),
        tasks,
        fail_fast: dice.chance(250),
        max_parallel: dice.chance(300).then(|| dice.between(1, 3) as u32),
        timeouts: Timeouts {
            run: dice.chance(200).then(|| seconds(dice, 5, 120)),
            finally: dice.chance(300).then(|| seconds(dice, 1, 20)),
        },
    }
}

fn task(dice: &Dice, name: &str, depends_on: Vec<u32>, finally: bool) -> Task {
    let gate = dice.chance(100);
    let each = !gate && dice.chance(250);
    let failing = if dice.chance(450) { dice.pick(&[100, 400, 700, 1_000]) } else { 0 };
    let long = dice.pick(&[0, 5, 200, 1_000, 4_000, 15_000]);
    let for_each = each.then(|| ForEach {
        from: expr("params.list"),
        as_name: "x".to_owned(),
        max_parallel: dice.chance(500).then(|| dice.between(1, 4) as u32),
        fail_fast: dice.chance(300),
    });
    let when = dice.chance(150).then(|| {
        let upstream =
            depends_on.first().map(|up| format!("tasks.t{up}.status != 'SKIPPED' && params.n > 1"));
        let upstream = upstream.filter(|_| !finally).unwrap_or_else(|| "params.n == 2".to_owned());
        expr(if dice.chance(300) { "params.n > 5" } else { &upstream })
    });
    Task {
        no: 0,
        name: name.to_owned(),
        cel_name: name.to_owned(),
        finally,
        depends_on,
        dependents: Vec::new(),
        pool: dice.pick(&["default", "default", "gpu"]).to_owned(),
        when,
        for_each,
        env: vec![("PLAN".to_owned(), template(&plan(long, failing)))],
        action: if gate {
            Action::Gate
        } else {
            Action::Command(vec![template("run"), template("$(params.n)")])
        },
        approval: dice.chance(120).then(|| approval(dice)),
        retry: retry(dice),
        timeout: dice.chance(200).then(|| seconds(dice, 1, 20)),
        outputs: Vec::new(),
        on_error: if dice.chance(200) { OnError::Continue } else { OnError::Fail },
        on_worker_lost: if dice.chance(300) { OnWorkerLost::Fail } else { OnWorkerLost::Retry },
    }
}

fn approval(dice: &Dice) -> Approval {
    Approval {
        required: dice.between(1, 2) as u32,
        message: Some(template("Go on with $(params.n)?")),
        timeout: dice.chance(500).then(|| seconds(dice, 1, 60)),
        on_timeout: dice.pick(&[OnTimeout::Fail, OnTimeout::Skip]),
    }
}

fn retry(dice: &Dice) -> Retry {
    Retry {
        limit: dice.pick(&[0, 0, 1, 2, 4]),
        delay: if dice.chance(500) { seconds(dice, 0, 5) } else { Duration::ZERO },
        factor: 2.0,
        max_delay: None,
        jitter: dice.chance(500),
        on: Vec::new(),
        exit_codes: Vec::new(),
    }
}
