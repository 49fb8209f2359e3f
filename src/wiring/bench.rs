//! `relay bench`: from arguments to figures.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use relay::bench::{self, Params, Part, Report, Sizes, Workload};
use relay::cli::bench::{Args, Conductor};
use relay::clock::Clock;
use relay::conductor::Compile;

/// Each yardstick is measured for so long.
const YARDSTICK: Duration = Duration::from_secs(2);

/// What to measure; `Err` names what there is.
pub fn workloads(args: &Args) -> Result<Vec<Workload>, String> {
    match args.workloads.as_slice() {
        [] => Ok(Workload::USUAL.to_vec()),
        named => named.iter().map(|name| name.parse()).collect(),
    }
}

/// Measures, and tells each figure on standard error as soon as it is there when standard output is for JSON.
pub async fn bench(args: Args, workloads: Vec<Workload>, compile: Compile) -> anyhow::Result<()> {
    let json_only = args.json.as_deref() == Some(Path::new("-"));
    if let Some(file) = args.json.as_deref().filter(|_| !json_only) {
        // Minutes later would be too late to find out.
        let opened = OpenOptions::new().append(true).create(true).open(file);
        opened.with_context(|| format!("--json: {} cannot be written", file.display()))?;
    }
    let params = Params {
        database_url: args.database_url,
        redis_url: args.redis_url,
        program: std::env::current_exe().context("this program's own file is not known")?,
        workloads,
        times: args.times,
        workers: args.workers,
        slots: args.slots,
        sizes: Sizes {
            tenfold: args.sizes.tenfold,
            minutes: args.sizes.minutes,
            runs: args.sizes.runs as usize,
            idle: args.sizes.idle,
            width: args.sizes.width as usize,
            rows: args.sizes.rows,
            conductors: args.sizes.conductors,
        },
        yardstick: YARDSTICK,
        compile,
        clock: Clock::system(),
        stop: CancellationToken::new(),
    };
    let mut ends = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let [Ok(interrupt), Ok(terminate)] = &mut ends else { bail!("signals cannot be heard") };
    let mut measuring = pin!(bench::run(&params, |line| say(line, json_only)));
    let report = tokio::select! {
        report = &mut measuring => report?,
        _ = async { tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} } } => {
            // What it made goes first.
            params.stop.cancel();
            measuring.await?
        }
    };
    match args.json {
        Some(file) => write(&report, &file),
        None => Ok(()),
    }
}

/// Conducts for a bench, until that one says no more.
pub async fn conductor(args: Conductor, compile: Compile) -> anyhow::Result<()> {
    let part = Part {
        database_url: args.database_url,
        redis_url: args.redis_url,
        redis_prefix: args.redis_prefix,
        holder: args.holder,
        first: args.first,
        shards: args.shards,
    };
    Ok(bench::conduct(part, Clock::system(), compile).await?)
}

/// Whoever reads no longer needs no figures.
fn say(line: &str, to_error: bool) {
    let _ = match to_error {
        true => writeln!(std::io::stderr(), "{line}"),
        false => writeln!(std::io::stdout(), "{line}"),
    };
}

fn write(report: &Report, file: &Path) -> anyhow::Result<()> {
    let text = format!("{}\n", serde_json::to_string_pretty(report)?);
    match file == Path::new("-") {
        true => std::io::stdout().write_all(text.as_bytes()).context("standard output is closed"),
        false => std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display())),
    }
}
