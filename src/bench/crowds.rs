//! Many tasks at once: how many a second, beside the same commits alone, at ten times the size, and after a long past.

use std::time::Duration;

use crate::bench::{
    BenchError, Workload,
    conducting::Timing,
    report::{middle, milliseconds, part},
    shapes::{Maker, Shape},
    stage::Stage,
    workloads::{Measuring, rate, repeat},
    yardsticks::{self, Commits},
};
use crate::store::postgres::past;

/// How the bare loop of the same commits is called.
const REPLAY: &str = "the same commits alone";

/// After a past the disk is as quick as before from this part of its commits on, ...
const AS_QUICK: f64 = 0.9;
/// ... or it is not waited for any longer.
const REST_MOST: Duration = Duration::from_secs(120);

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

    /// On the empty database, and again after a past of many rows.
    pub(super) async fn history(&mut self) -> Result<(), BenchError> {
        let name = Workload::History.name();
        let before = self.three().await?;
        let (revision, shard) = {
            let maker = Maker::new(Shape::Diamond)?;
            (maker.revision().id, maker.shard())
        };
        let (clock, rows) = (self.params.clock.clone(), self.params.sizes.rows);
        let disk = Commits::open(self.place).await?;
        let commits = disk.rate(self.params).await?;
        let began = clock.running();
        let tell = &mut *self.tell;
        past::make(&self.place.database_url, &revision, shard, rows.div_ceil(10), |runs| {
            tell(&format!("{name:<14} {} task runs are there", runs * 10));
        })
        .await?;
        let took = (clock.running() - began).as_secs_f64();
        self.remark(name, "making the past".to_owned(), "s", took);
        self.tables(name).await?;
        self.rest(name, &disk, commits).await?;
        disk.close(self.place).await?;
        let after = self.three().await?;
        for ((what, unit, after), (.., before)) in after.into_iter().zip(before) {
            self.figure((name, what, unit), after, ("on the empty database", middle(&before)));
        }
        Ok(())
    }

    /// Waits until the disk is through with the past. One that has just taken gigabytes syncs slower for a while, which says
    /// nothing about their rows.
    async fn rest(&mut self, name: &'static str, disk: &Commits, before: f64) -> Result<(), BenchError> {
        let (clock, began) = (&self.params.clock, self.params.clock.running());
        let now = loop {
            let now = disk.rate(self.params).await?;
            if now >= before * AS_QUICK || clock.running() - began >= REST_MOST {
                break now;
            }
        };
        let rested = (clock.running() - began).as_secs_f64();
        self.remark(name, "rest after that".to_owned(), "s", rested);
        self.figure((name, "commits of a row, 1 client", "/s"), vec![now], ("before the past", before));
        Ok(())
    }

    /// Fan, chain and diamonds, each time.
    async fn three(&mut self) -> Result<[(&'static str, &'static str, Vec<f64>); 4], BenchError> {
        let mut stage = Stage::open(self.params, self.place).await?;
        let measured = async {
            let fans = repeat(self.params, &mut stage, Shape::Fan(1_000), 1).await?;
            let chains = repeat(self.params, &mut stage, Shape::Chain(100), 1).await?;
            let diamonds = repeat(self.params, &mut stage, Shape::Diamond, 200).await?;
            let rates = |timings: &[Timing], tasks| timings.iter().map(|t| rate(tasks, t.lasted())).collect();
            let hops: Vec<Vec<f64>> = chains.iter().map(hops).collect();
            Ok([
                ("fan, tasks", "/s", rates(&fans, 1_002)),
                ("chain, a hop, p50", "ms", hops.iter().map(|hops| middle(hops)).collect()),
                ("chain, a hop, p99", "ms", hops.iter().map(|hops| part(hops, 0.99)).collect()),
                ("diamonds, tasks", "/s", rates(&diamonds, 2_000)),
            ])
        };
        let measured = measured.await;
        let closed = stage.close().await;
        measured.and_then(|measured| closed.map(|()| measured))
    }
}
