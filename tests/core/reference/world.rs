//! A run, its rows, its model and its restored twin, side by side: each event goes to all, and all must agree.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use relay::{
    engine::{Effect, Event, Plan, Refused, Run},
    model::{ids::TaskKey, status::TaskStatus, task_run::TaskRow, workflow::Workflow},
};

use super::{Picture, plot::Plot};
use crate::support::{Book, dawn, run_row, workflow};

/// Everything that is known of one run.
pub struct World {
    pub plot: Plot,
    pub run: Run,
    pub book: Book,
    pub now: Timestamp,
    pub offered: BTreeSet<TaskKey>,
    /// Events that were accepted.
    pub past: Vec<(Timestamp, Event)>,
    /// The run again from its rows, as they were after the last event.
    twin: Option<Run>,
    flow: Arc<Workflow>,
}

impl World {
    /// A run that has just begun.
    pub fn begin(plot: Plot) -> World {
        let flow = workflow(&plot.text());
        let (run, plan) = Run::begin(flow.clone(), run_row(&flow), dawn()).expect("it begins");
        let (book, offered, past) = (Book::default(), BTreeSet::new(), Vec::new());
        let mut world = World { plot, run, book, now: dawn(), offered, past, twin: None, flow };
        world.accepted(&plan);
        world.check();
        world
    }

    /// Lets something happen, and compares.
    pub fn happen(&mut self, event: Event) -> Result<Plan, Refused> {
        self.now = self.now.checked_add(Duration::from_millis(1)).expect("tests end before time does");
        let unoffered = matches!(&event, Event::Dispatched(key) if !self.offered.contains(key));
        let expected = !unoffered && Picture::of(&self.plot, &self.past).accepts(&event);
        let came = self.run.apply(event.clone(), self.now);
        assert_eq!(came.is_ok(), expected, "{event:?} was taken or refused: {:?}", came.err());
        if let Some(mut twin) = self.twin.take() {
            let same = twin.apply(event.clone(), self.now);
            assert_eq!(told(&same), told(&came), "a restored run takes {event:?} otherwise");
        }
        match &came {
            Ok(plan) => {
                if let Event::Dispatched(key) = &event {
                    self.offered.remove(key);
                }
                self.past.push((self.now, event));
                self.accepted(plan);
            }
            Err(Refused::Illegal { key, from, to }) => panic!("{event:?}: {key:?} went from {from} to {to}"),
            Err(_) => self.book.agrees(&self.run).expect("a refused event changes nothing"),
        }
        self.check();
        came
    }

    /// Rows in one of these states that have, or may get, a job.
    pub fn rows_in(&self, wanted: &[TaskStatus]) -> Vec<&TaskRow> {
        let group = |key: &TaskKey| key.item.is_none() && self.plot.tasks[key.task as usize].items.is_some();
        let fits = |row: &&TaskRow| {
            wanted.contains(&row.status) && (!group(&row.key) || row.status == TaskStatus::Blocked)
        };
        self.book.tasks.values().filter(fits).collect()
    }

    fn accepted(&mut self, plan: &Plan) {
        let replayed = !plan.changes.is_empty() && self.book.clone().commit(plan).and(Ok(plan)).is_ok();
        self.book.commit(plan).expect("a plan can be committed");
        if replayed && !plan.changes.tasks.values().all(|c| c.steps.is_empty()) {
            self.book.clone().commit(plan).expect_err("a plan that is committed cannot be committed again");
        }
        self.book.agrees(&self.run).expect("memory holds what was committed");
        for effect in &plan.effects {
            match effect {
                Effect::Offer(key) => assert!(self.offered.insert(*key), "{key:?} is offered twice"),
                Effect::Withdraw(key) => assert!(self.offered.remove(key), "{key:?} was not offered"),
                Effect::Ended => assert!(self.run.row().status.is_final(), "a run ended that did not"),
                _ => {}
            }
        }
        for (key, change) in &plan.changes.tasks {
            let left =
                change.steps.iter().any(|s| (s.from, s.to) == (Some(TaskStatus::Pending), TaskStatus::Ready));
            if left {
                self.may_start(*key);
            }
        }
    }

    fn may_start(&self, key: TaskKey) {
        for up in &self.plot.tasks[key.task as usize].ups {
            let status = self.book.tasks[&TaskKey::of_task(*up as u32)].status;
            let forgiven = status == TaskStatus::Failed && self.plot.tasks[*up].carry_on;
            assert!(
                status == TaskStatus::Success || forgiven,
                "{key:?} starts after t{up}, which is {status}"
            );
        }
    }

    fn check(&mut self) {
        self.check_model();
        self.check_places();
        self.check_twin();
    }

    fn check_model(&self) {
        let picture = Picture::of(&self.plot, &self.past);
        let model = picture.rows.iter().map(|(key, cell)| (*key, cell.status, cell.attempt));
        let rows = self.book.tasks.values().map(|row| (row.key, row.status, row.attempt));
        let differ: Vec<_> = rows.zip(model).filter(|(row, cell)| row != cell).collect();
        assert_eq!(differ, [], "engine (left) and model differ after {:?}", self.past.last());
        assert_eq!(self.book.tasks.len(), picture.rows.len(), "rows after {:?}", self.past.last());
        assert_eq!(self.run.row().status, picture.run, "the run after {:?}", self.past.last());
    }

    /// Bounds hold, and no place stays empty while somebody waits for it.
    fn check_places(&self) {
        let most = |bound: u32| if bound == 0 { usize::MAX } else { bound as usize };
        let mut taken: BTreeSet<TaskKey> = self.offered.clone();
        taken.extend(self.rows_in(&[TaskStatus::Queued, TaskStatus::Running]).iter().map(|r| r.key));
        let of = |no: u32| taken.iter().filter(|k| k.task == no && k.item.is_some()).count();
        let paused = self.run.row().paused_at.is_some();
        let full = taken.len() >= most(self.plot.max_parallel);
        assert!(taken.len() <= most(self.plot.max_parallel), "maxParallel: {taken:?}");
        for (no, task) in self.plot.tasks.iter().enumerate().filter(|(_, t)| t.items.is_some()) {
            assert!(of(no as u32) <= most(task.item_max), "forEach.maxParallel of t{no}: {taken:?}");
        }
        for row in self.rows_in(&[TaskStatus::Ready]) {
            let task = &self.plot.tasks[row.key.task as usize];
            let narrow = row.key.item.is_some() && of(row.key.task) >= most(task.item_max);
            let waits = paused || full || narrow || self.offered.contains(&row.key);
            assert!(waits, "{:?} is READY, and there is a place for it", row.key);
        }
        assert!(!paused || self.offered.is_empty(), "{:?} is offered, and the run is paused", self.offered);
        for key in &self.offered {
            assert_eq!(self.book.tasks[key].status, TaskStatus::Ready, "{key:?} is offered");
        }
    }

    fn check_twin(&mut self) {
        let due = self.run.next_due();
        if due.is_some_and(|due| due <= self.now) {
            return;
        }
        let (twin, plan) = self.book.restore(&self.run, self.now);
        assert!(plan.changes.is_empty(), "a restart writes {:#?}", plan.changes);
        assert_eq!(twin.next_due(), due, "a restart forgets or invents a timer");
        let of = |wanted: fn(&Effect) -> Option<TaskKey>| {
            plan.effects.iter().filter_map(wanted).collect::<BTreeSet<_>>()
        };
        let offers = of(|e| if let Effect::Offer(key) = e { Some(*key) } else { None });
        assert_eq!(offers, self.offered, "a restart offers something else");
        let key_of = |e: &Effect| if let Effect::Remove { key, .. } = e { Some(*key) } else { None };
        let mut stops: Vec<&Effect> = plan.effects.iter().filter(|e| key_of(e).is_some()).collect();
        stops.sort_by_key(|e| key_of(e));
        assert_eq!(stops, self.run.to_stop().iter().collect::<Vec<_>>(), "a restart stops something else");
        let published = of(|e| if let Effect::Republish(key) = e { Some(*key) } else { None });
        let stopped: BTreeSet<TaskKey> = stops
            .iter()
            .filter_map(|e| if let Effect::Remove { key, .. } = e { Some(*key) } else { None })
            .collect();
        let queued: BTreeSet<TaskKey> = self.rows_in(&[TaskStatus::Queued]).iter().map(|r| r.key).collect();
        assert_eq!(published, &queued - &stopped, "a restart publishes what is queued and shall run");
        self.twin = Some(twin);
    }

    /// The workflow as text, for messages.
    pub fn drawing(&self) -> String {
        let names = self.flow.tasks.len();
        format!("{names} tasks: {}", self.plot.text())
    }
}

/// A result without the order of its effects.
fn told(came: &Result<Plan, Refused>) -> Result<(relay::model::change::Changes, BTreeSet<String>), Refused> {
    let plan = came.clone()?;
    Ok((plan.changes, plan.effects.iter().map(|e| format!("{e:?}")).collect()))
}
