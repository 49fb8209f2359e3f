//! Each workload, measured so often as it is asked for.

use std::time::Duration;

use crate::bench::{
    BenchError, Params, Workload,
    conducting::Timing,
    crowds::hops,
    report::{Report, middle, milliseconds, part},
    shapes::{Maker, Shape},
    stage::{Place, Stage},
    yardsticks::{Bare, cores, spawns},
};

/// Runs of one task in a row, for the time that one takes.
const SINGLE: usize = 100;

/// What a workload is measured with, and where its figures go.
pub struct Measuring<'a, T> {
    pub params: &'a Params,
    pub place: &'a Place,
    pub bare: &'a Bare,
    pub report: &'a mut Report,
    pub tell: &'a mut T,
}

/// Once without counting, then so often as it is asked for.
pub async fn repeat(
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

pub fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

impl<T: FnMut(&str)> Measuring<'_, T> {
    /// Measures a workload.
    pub async fn measure(&mut self, workload: Workload) -> Result<(), BenchError> {
        match workload {
            Workload::History => return self.history().await,
            Workload::Blocked => return self.blocked().await,
            Workload::Huge => return self.huge().await,
            Workload::Conductors => return self.conductors().await,
            _ => {}
        }
        let mut stage = match workload {
            Workload::Processes => {
                // A worker starts its processes one after the other, and waits meanwhile until each has begun.
                let enough = u32::try_from(cores() + 1).unwrap_or(u32::MAX).max(self.params.workers);
                Stage::open(&Params { workers: enough, ..self.params.clone() }, self.place).await?
            }
            Workload::Queued => Stage::without_workers(self.params, self.place).await?,
            _ => Stage::open(self.params, self.place).await?,
        };
        let measured = self.on(&mut stage, workload).await;
        let closed = stage.close().await;
        measured.and(closed)
    }

    /// What is measured with the conductor in this process.
    async fn on(&mut self, stage: &mut Stage, workload: Workload) -> Result<(), BenchError> {
        let crowd = match workload {
            Workload::Fan => (Shape::Fan(1_000), 1),
            Workload::StaticFan => (Shape::StaticFan(1_000), 1),
            Workload::WideFan => (Shape::Fan(10_000), 1),
            Workload::Diamonds => (Shape::Diamond, 200),
            Workload::ManyDiamonds => (Shape::Diamond, 2_000),
            Workload::Chain => return self.chain(stage).await,
            Workload::Processes => return self.processes(stage).await,
            Workload::One => return self.one(stage).await,
            Workload::Transitions => return self.transitions(stage).await,
            Workload::Linear => return self.linear(stage).await,
            Workload::Queued => return self.queued(stage).await,
            // These have conductors elsewhere: see `measure`.
            Workload::History | Workload::Blocked | Workload::Huge | Workload::Conductors => return Ok(()),
        };
        self.crowd(stage, workload, crowd).await
    }

    pub(super) fn figure(
        &mut self,
        of: (&'static str, &'static str, &'static str),
        values: Vec<f64>,
        yardstick: (&'static str, f64),
    ) {
        let line = self.report.figure(of, values, yardstick);
        (self.tell)(&line);
    }

    pub(super) fn remark(&mut self, workload: &'static str, name: String, unit: &'static str, value: f64) {
        let line = self.report.remark(workload, name, unit, value);
        (self.tell)(&line);
    }

    /// From end to end of tasks that wait for each other.
    async fn chain(&mut self, stage: &mut Stage) -> Result<(), BenchError> {
        let (mut half, mut most) = (Vec::new(), Vec::new());
        for timing in repeat(self.params, stage, Shape::Chain(100), 1).await? {
            let hops = hops(&timing);
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
        let maker = Maker::new(shape)?;
        stage.play(&maker, 1).await?;
        let (mut rates, mut alone) = (Vec::new(), Vec::new());
        for _ in 0..self.params.times {
            // In turns, for a machine starts processes half as quickly at another moment.
            alone.push(spawns(&self.params.clock, self.params.yardstick / 4).await?);
            rates.push(rate(shape.tasks(), stage.play(&maker, 1).await?.lasted()));
        }
        let of = (Workload::Processes.name(), "tasks", "/s");
        self.figure(of, rates, ("processes, one a core at a time", middle(&alone)));
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
