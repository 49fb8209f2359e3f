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

/// Measures a workload.
pub async fn measure(
    params: &Params,
    place: &Place,
    bare: &Bare,
    workload: Workload,
    report: &mut Report,
    tell: &mut impl FnMut(&str),
) -> Result<(), BenchError> {
    let mut stage = Stage::open(params, place).await?;
    let measured = async {
        match workload {
            Workload::Fan => {
                crowd(params, place, &mut stage, (workload, Shape::Fan(1_000), 1), report, tell).await
            }
            Workload::StaticFan => {
                crowd(params, place, &mut stage, (workload, Shape::StaticFan(1_000), 1), report, tell).await
            }
            Workload::WideFan => {
                crowd(params, place, &mut stage, (workload, Shape::Fan(10_000), 1), report, tell).await
            }
            Workload::Diamonds => {
                crowd(params, place, &mut stage, (workload, Shape::Diamond, 200), report, tell).await
            }
            Workload::ManyDiamonds => {
                crowd(params, place, &mut stage, (workload, Shape::Diamond, 2_000), report, tell).await
            }
            Workload::Chain => chain(params, &mut stage, bare, report, tell).await,
            Workload::Processes => processes(params, &mut stage, bare, report, tell).await,
            Workload::One => one(params, &mut stage, bare, report, tell).await,
        }
    };
    let measured = measured.await;
    let closed = stage.close().await;
    measured.and(closed)
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

/// Tasks a second of many tasks, beside the same commits alone.
async fn crowd(
    params: &Params,
    place: &Place,
    stage: &mut Stage,
    (workload, shape, runs): (Workload, Shape, usize),
    report: &mut Report,
    tell: &mut impl FnMut(&str),
) -> Result<(), BenchError> {
    let timings = repeat(params, stage, shape, runs).await?;
    // Once more, on record, for the yardstick.
    stage.recorder.begin();
    let maker = Maker::new(shape)?;
    stage.play(&maker, runs).await?;
    let batches = stage.recorder.end();
    let commits = batches.len();
    let alone = yardsticks::replay(params, place, &maker.revision(), batches).await?;
    let tasks = shape.tasks() * runs;
    let rates = timings.iter().map(|timing| rate(tasks, timing.lasted())).collect();
    tell(&report.figure((workload.name(), "tasks", "/s"), rates, (REPLAY, rate(tasks, alone))));
    let transitions: Vec<f64> =
        timings.iter().map(|t| rate(t.seen.transitions as usize, t.lasted())).collect();
    let of_alone = rate(timings.first().map_or(0, |t| t.seen.transitions as usize), alone);
    tell(&report.figure((workload.name(), "transitions", "/s"), transitions, (REPLAY, of_alone)));
    tell(&format!("{:<14} its commits: {commits}", workload.name()));
    Ok(())
}

/// From end to end of tasks that wait for each other.
async fn chain(
    params: &Params,
    stage: &mut Stage,
    bare: &Bare,
    report: &mut Report,
    tell: &mut impl FnMut(&str),
) -> Result<(), BenchError> {
    let (mut half, mut most) = (Vec::new(), Vec::new());
    for timing in repeat(params, stage, Shape::Chain(100), 1).await? {
        let ends = timing.seen.tasks;
        let hops: Vec<f64> =
            ends.iter().zip(ends.iter().skip(1)).map(|(a, b)| milliseconds(b.saturating_sub(*a))).collect();
        half.push(middle(&hops));
        most.push(part(&hops, 0.99));
    }
    let name = Workload::Chain.name();
    tell(&report.figure((name, "hop, p50", "ms"), half, ("commit and way, p50", bare.hop.0)));
    tell(&report.figure((name, "hop, p99", "ms"), most, ("commit and way, p99", bare.hop.1)));
    Ok(())
}

async fn processes(
    params: &Params,
    stage: &mut Stage,
    bare: &Bare,
    report: &mut Report,
    tell: &mut impl FnMut(&str),
) -> Result<(), BenchError> {
    let shape = Shape::Processes(1_000);
    let timings = repeat(params, stage, shape, 1).await?;
    let rates = timings.iter().map(|timing| rate(shape.tasks(), timing.lasted())).collect();
    let name = Workload::Processes.name();
    tell(&report.figure((name, "tasks", "/s"), rates, ("processes, 2 at a time", bare.spawns)));
    Ok(())
}

/// From the word to the inbox to the commit of the end.
async fn one(
    params: &Params,
    stage: &mut Stage,
    bare: &Bare,
    report: &mut Report,
    tell: &mut impl FnMut(&str),
) -> Result<(), BenchError> {
    let maker = Maker::new(Shape::Chain(1))?;
    let (mut half, mut most) = (Vec::new(), Vec::new());
    for _ in 0..params.times {
        let mut times = Vec::new();
        for _ in 0..SINGLE {
            let began = params.clock.running();
            let timing = stage.play(&maker, 1).await?;
            times.push(milliseconds(timing.ended.saturating_sub(began)));
        }
        half.push(middle(&times));
        most.push(part(&times, 0.99));
    }
    let name = Workload::One.name();
    tell(&report.figure((name, "to its end, p50", "ms"), half, ("commit and way, p50", bare.hop.0)));
    tell(&report.figure((name, "to its end, p99", "ms"), most, ("commit and way, p99", bare.hop.1)));
    Ok(())
}
