//! Many tasks at once: how many a second, beside the same commits alone, and at ten times the size.

use std::time::Duration;

use crate::bench::{
    BenchError, Workload,
    conducting::Timing,
    report::{middle, milliseconds},
    shapes::{Maker, Shape},
    stage::Stage,
    workloads::{Measuring, rate, repeat},
    yardsticks,
};

/// How the bare loop of the same commits is called.
const REPLAY: &str = "the same commits alone";

/// Ten times as much, and ten times that.
const TENFOLD: [[(&str, Shape, usize); 3]; 3] = [
    [
        ("a fan of 100", Shape::Fan(100), 1),
        ("a fan of 1,000", Shape::Fan(1_000), 1),
        ("a fan of 10,000", Shape::Fan(10_000), 1),
    ],
    [
        ("a chain of 10", Shape::Chain(10), 1),
        ("a chain of 100", Shape::Chain(100), 1),
        ("a chain of 1,000", Shape::Chain(1_000), 1),
    ],
    [
        ("20 diamonds", Shape::Diamond, 20),
        ("200 diamonds", Shape::Diamond, 200),
        ("2,000 diamonds", Shape::Diamond, 2_000),
    ],
];

/// A workload measured once.
pub struct Turn {
    pub timing: Timing,
    /// How long its commits took alone.
    pub alone: Duration,
    pub commits: usize,
}

/// The time from end to end of tasks that wait for each other, in milliseconds.
pub fn hops(timing: &Timing) -> Vec<f64> {
    let ends = &timing.seen.tasks;
    let between = |(a, b): (&Duration, &Duration)| milliseconds(b.saturating_sub(*a));
    ends.iter().zip(ends.iter().skip(1)).map(between).collect()
}

impl<T: FnMut(&str)> Measuring<'_, T> {
    /// Tasks a second of many tasks, in turns with the same commits alone.
    pub(super) async fn crowd(
        &mut self,
        stage: &mut Stage,
        workload: Workload,
        (shape, runs): (Shape, usize),
    ) -> Result<(), BenchError> {
        let maker = Maker::new(shape)?;
        stage.play(&maker, runs).await?;
        let (tasks, mut turns) = (shape.tasks() * runs, Vec::new());
        for _ in 0..self.params.times {
            turns.push(self.turn(stage, &maker, runs).await?);
        }
        let of_each = |value: fn(&Turn) -> f64| -> Vec<f64> { turns.iter().map(value).collect() };
        let alone = middle(&of_each(|turn| turn.alone.as_secs_f64()));
        let transitions = middle(&of_each(|turn| turn.timing.seen.transitions as f64));
        let name = workload.name();
        let rates = turns.iter().map(|turn| rate(tasks, turn.timing.lasted())).collect();
        self.figure((name, "tasks", "/s"), rates, (REPLAY, tasks as f64 / alone));
        let rates = of_each(|turn| rate(turn.timing.seen.transitions as usize, turn.timing.lasted()));
        self.figure((name, "transitions", "/s"), rates, (REPLAY, transitions / alone));
        let commits = middle(&of_each(|turn| turn.commits as f64));
        self.remark(name, "its commits".to_owned(), "in a run", commits);
        Ok(())
    }

    /// Once, on record, and then its commits alone: what comes together in a commit differs from one time to the next.
    pub(super) async fn turn(
        &mut self,
        stage: &mut Stage,
        maker: &Maker,
        runs: usize,
    ) -> Result<Turn, BenchError> {
        stage.conducting.recorder.begin();
        let timing = stage.play(maker, runs).await?;
        let batches = stage.conducting.recorder.end();
        let commits = batches.len();
        let alone = yardsticks::replay(self.params, self.place, &maker.revision(), batches).await?;
        Ok(Turn { timing, alone, commits })
    }

    /// Tasks a second of ten times as much, beside those of a tenth.
    pub(super) async fn linear(&mut self, stage: &mut Stage) -> Result<(), BenchError> {
        let name = Workload::Linear.name();
        for sizes in TENFOLD {
            let mut before: Option<(&'static str, f64)> = None;
            let sizes = sizes.into_iter().take(1 + usize::from(self.params.sizes.tenfold));
            for (what, shape, runs) in sizes {
                let timings = repeat(self.params, stage, shape, runs).await?;
                let rates: Vec<f64> =
                    timings.iter().map(|timing| rate(shape.tasks() * runs, timing.lasted())).collect();
                let middle = middle(&rates);
                self.figure((name, what, "/s"), rates, before.unwrap_or(("itself", middle)));
                before = Some((what, middle));
            }
        }
        Ok(())
    }
}
