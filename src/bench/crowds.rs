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

/// The time from end to end of tasks that wait for each other, in milliseconds.
pub fn hops(timing: &Timing) -> Vec<f64> {
    let ends = &timing.seen.tasks;
    let between = |(a, b): (&Duration, &Duration)| milliseconds(b.saturating_sub(*a));
    ends.iter().zip(ends.iter().skip(1)).map(between).collect()
}

impl<T: FnMut(&str)> Measuring<'_, T> {
    /// Tasks a second of many tasks, beside the same commits alone.
    pub(super) async fn crowd(
        &mut self,
        stage: &mut Stage,
        workload: Workload,
        (shape, runs): (Shape, usize),
    ) -> Result<(), BenchError> {
        let timings = repeat(self.params, stage, shape, runs).await?;
        let (alone, commits) = self.alone(stage, (shape, runs)).await?;
        let (name, tasks) = (workload.name(), shape.tasks() * runs);
        let rates = timings.iter().map(|timing| rate(tasks, timing.lasted())).collect();
        self.figure((name, "tasks", "/s"), rates, (REPLAY, rate(tasks, alone)));
        let transitions =
            timings.iter().map(|timing| rate(timing.seen.transitions as usize, timing.lasted())).collect();
        let of_alone = rate(timings.first().map_or(0, |timing| timing.seen.transitions as usize), alone);
        self.figure((name, "transitions", "/s"), transitions, (REPLAY, of_alone));
        self.remark(name, "its commits".to_owned(), "in a run", commits as f64);
        Ok(())
    }

    /// Once more, on record: how long the same commits take alone, and how many they are.
    pub(super) async fn alone(
        &mut self,
        stage: &mut Stage,
        (shape, runs): (Shape, usize),
    ) -> Result<(Duration, usize), BenchError> {
        let maker = Maker::new(shape)?;
        stage.conducting.recorder.begin();
        stage.play(&maker, runs).await?;
        let batches = stage.conducting.recorder.end();
        let commits = batches.len();
        let alone = yardsticks::replay(self.params, self.place, &maker.revision(), batches).await?;
        Ok((alone, commits))
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
