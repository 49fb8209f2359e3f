//! Each workload, measured so often as it is asked for.

use std::time::Duration;

use crate::bench::{
    BenchError, Params, Workload,
    report::{Report, middle, milliseconds, part},
    shapes::{Maker, Shape},
    stage::{Place, Stage, Timing},
    yardsticks::{self, Bare},
};

/// Runs of one task in a row, for the time that one takes.
const SINGLE: usize = 100;

/// How the bare loop of the same commits is called.
const REPLAY: &str = "the same commits alone";

/// What a workload is measured with, and where its figures go.
pub struct Measuring<'a, T> {
    pub params: &'a Params,
    pub place: &'a Place,
    pub bare: &'a Bare,
    pub report: &'a mut Report,
    pub tell: &'a mut T,
}

/// Once without counting, then so often as it is asked for.
async fn repeat(
    params: &Params,
    stage: &mut Stage,
    shape: Shape,
    runs: usize,
) -> Result<Vec<Timing>, BenchError> {
    let maker = Maker::new(shape)?;
    stage.play(&maker, runs).await?;
    let mut timings = Vec::new();
    for _ in 0..params.times {
        timings.push(stage.play(&maker, runs).await?);
    }
    Ok(timings)
}

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

impl<T: FnMut(&str)> Measuring<'_, T> {
    /// Measures a workload.
    pub async fn measure(&mut self, workload: Workload) -> Result<(), BenchError> {
        let mut stage = Stage::open(self.params, self.place).await?;
        let measured = match workload {
            Workload::Fan => self.crowd(&mut stage, workload, (Shape::Fan(1_000), 1)).await,
            Workload::StaticFan => self.crowd(&mut stage, workload, (Shape::StaticFan(1_000), 1)).await,
            Workload::WideFan => self.crowd(&mut stage, workload, (Shape::Fan(10_000), 1)).await,
            Workload::Diamonds => self.crowd(&mut stage, workload, (Shape::Diamond, 200)).await,
            Workload::ManyDiamonds => self.crowd(&mut stage, workload, (Shape::Diamond, 2_000)).await,
            Workload::Chain => self.chain(&mut stage).await,
            Workload::Processes => self.processes(&mut stage).await,
            Workload::One => self.one(&mut stage).await,
        };
        let closed = stage.close().await;
        measured.and(closed)
    }

    fn figure(
        &mut self,
        of: (&'static str, &'static str, &'static str),
        values: Vec<f64>,
        yardstick: (&'static str, f64),
    ) {
        let line = self.report.figure(of, values, yardstick);
        (self.tell)(&line);
    }

    /// Tasks a second of many tasks, beside the same commits alone.
    async fn crowd(
        &mut self,
        stage: &mut Stage,
        workload: Workload,
        (shape, runs): (Shape, usize),
    ) -> Result<(), BenchError> {
        let timings = repeat(self.params, stage, shape, runs).await?;
        // Once more, on record, for the yardstick.
        let maker = Maker::new(shape)?;
        stage.recorder.begin();
        stage.play(&maker, runs).await?;
        let batches = stage.recorder.end();
        let commits = batches.len();
        let alone = yardsticks::replay(self.params, self.place, &maker.revision(), batches).await?;
        let (name, tasks) = (workload.name(), shape.tasks() * runs);
        let rates = timings.iter().map(|timing| rate(tasks, timing.lasted())).collect();
        self.figure((name, "tasks", "/s"), rates, (REPLAY, rate(tasks, alone)));
        let transitions =
            timings.iter().map(|timing| rate(timing.seen.transitions as usize, timing.lasted())).collect();
        let of_alone = rate(timings.first().map_or(0, |timing| timing.seen.transitions as usize), alone);
        self.figure((name, "transitions", "/s"), transitions, (REPLAY, of_alone));
        (self.tell)(&format!("{name:<14} its commits: {commits}"));
        Ok(())
    }

    /// From end to end of tasks that wait for each other.
    async fn chain(&mut self, stage: &mut Stage) -> Result<(), BenchError> {
        let (mut half, mut most) = (Vec::new(), Vec::new());
        for timing in repeat(self.params, stage, Shape::Chain(100), 1).await? {
            let ends = timing.seen.tasks;
            let between = |(a, b): (&Duration, &Duration)| milliseconds(b.saturating_sub(*a));
            let hops: Vec<f64> = ends.iter().zip(ends.iter().skip(1)).map(between).collect();
            half.push(middle(&hops));
            most.push(part(&hops, 0.99));
        }
        let (name, hop) = (Workload::Chain.name(), self.bare.hop);
        self.figure((name, "hop, p50", "ms"), half, ("commit and way, p50", hop.0));
        self.figure((name, "hop, p99", "ms"), most, ("commit and way, p99", hop.1));
        Ok(())
    }

    async fn processes(&mut self, stage: &mut Stage) -> Result<(), BenchError> {
        let shape = Shape::Processes(1_000);
        let timings = repeat(self.params, stage, shape, 1).await?;
        let rates = timings.iter().map(|timing| rate(shape.tasks(), timing.lasted())).collect();
        let of = (Workload::Processes.name(), "tasks", "/s");
        self.figure(of, rates, ("processes, 2 at a time", self.bare.spawns));
        Ok(())
    }

    /// From the word to the inbox to the commit of the end.
    async fn one(&mut self, stage: &mut Stage) -> Result<(), BenchError> {
        let maker = Maker::new(Shape::Chain(1))?;
        let (mut half, mut most) = (Vec::new(), Vec::new());
        for _ in 0..self.params.times {
            let mut times = Vec::new();
            for _ in 0..SINGLE {
                let began = self.params.clock.running();
                let timing = stage.play(&maker, 1).await?;
                times.push(milliseconds(timing.ended.saturating_sub(began)));
            }
            half.push(middle(&times));
            most.push(part(&times, 0.99));
        }
        let (name, hop) = (Workload::One.name(), self.bare.hop);
        self.figure((name, "to its end, p50", "ms"), half, ("commit and way, p50", hop.0));
        self.figure((name, "to its end, p99", "ms"), most, ("commit and way, p99", hop.1));
        Ok(())
    }
}
