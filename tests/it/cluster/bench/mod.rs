//! The road through Kubernetes: a Run object, a watch, a conductor, a warm worker, a status. `make bench-cluster` measures
//! it beside what the same API server takes for a write and for telling of it; every `make test` counts what is written.
//!
//! ```text
//!  stage.rs    etcd, an API server, Postgres, Redis, `relay operator`, `relay worker`
//!  operator.rs the operator's process: its start, its end, what the kernel says of it
//!  watched.rs  what a user's own watch has told of Runs, and when
//!  objects.rs  what many live Runs cost while nothing happens, and how soon they are there again
//!  calls.rs    what the API server was asked, by its own metrics
//!  figures.rs  medians, spread, ratios; for people and as JSON
//! ```

mod calls;
mod figures;
mod objects;
mod operator;
mod stage;
mod watched;

use std::path::PathBuf;
use std::time::Duration;

use figures::Figures;
use stage::Stage;

/// Runs one after the other that a figure is taken from, after some that do not count.
const SINGLES: usize = 50;
const WARM: usize = 5;
/// Runs at once.
const CROWDS: [usize; 3] = [50, 500, 50];
/// What may be written of a run that takes less than two seconds.
const WRITES: u64 = 4;

#[test]
fn few_words_are_written_of_a_run_and_none_of_a_task() {
    // `make bench-cluster` names a release build, and wants figures as well.
    let program = std::env::var_os("RELAY_BENCH_PROGRAM").filter(|path| !path.is_empty());
    let stage = Stage::start(program.clone().map(PathBuf::from));
    stage.singles("warm", WARM);
    let before = stage.calls();
    let lasted = stage.singles("one", WARM).iter().map(|single| single.finished).sum::<Duration>();
    let written = stage.calls().since(&before);
    let most = |runs: usize, lasted: Duration| runs as u64 * WRITES + lasted.as_secs();
    assert!(written.written() <= most(WARM, lasted), "{WARM} runs within {lasted:?}: {written}");
    let before = stage.calls();
    let lasted = stage.wide("wide");
    let written = stage.calls().since(&before);
    assert!(written.written() <= most(1, lasted), "a run of 101 tasks within {lasted:?}: {written}");
    if let Some(program) = program {
        let mut figures = Figures::default();
        measure(&stage, &mut figures);
        drop(stage);
        objects::measure(program.into(), &mut figures);
        figures.end();
    }
}

/// The figures. Nothing else should run on the machine.
fn measure(stage: &Stage, figures: &mut Figures) {
    let (write, told) = stage.yardsticks(SINGLES);
    let floor = figures.yardstick("a write answered", &write);
    let told = figures.yardstick("a write told by a watch", &told);
    let before = stage.calls();
    let singles = stage.singles("single", SINGLES);
    let calls = stage.calls().since(&before);
    let of = |pick: fn(&stage::Single) -> Duration| singles.iter().map(pick).collect::<Vec<_>>();
    figures.figure("one: created to its task running", &of(|single| single.started), told);
    figures.figure("one: created to its end told by a watch", &of(|single| single.finished), told + floor);
    figures.count("one: writes a run", calls.written() as f64 / SINGLES as f64);
    figures.say(&format!("{SINGLES} runs one after the other: {calls}"));
    for (number, runs) in CROWDS.into_iter().enumerate() {
        let before = stage.calls();
        let crowd = stage.crowd(&format!("crowd-{number}"), runs);
        let calls = stage.calls().since(&before);
        let each = |time: Duration| time.as_secs_f64() * 1e3 / runs as f64;
        figures.count(&format!("{runs} at once: ms a run until all are created"), each(crowd.created));
        figures.count(&format!("{runs} at once: ms a run until the last task runs"), each(crowd.started));
        figures.count(&format!("{runs} at once: ms a run until all ends are told"), each(crowd.finished));
        figures.count(&format!("{runs} at once: writes a run"), calls.written() as f64 / runs as f64);
        figures
            .count(&format!("{runs} at once: events a watch told a run"), crowd.events as f64 / runs as f64);
        figures.say(&format!("{runs} runs at once: {calls}"));
    }
}
