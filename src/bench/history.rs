//! After a long past: fan, chain and diamonds beside the same on the empty database, and while old runs are removed.

use std::time::Duration;

use futures::future::OptionFuture;
use tokio_util::sync::CancellationToken;

use crate::bench::{
    BenchError, Workload,
    conducting::Timing,
    crowds::hops,
    report::{middle, part},
    shapes::{Maker, Shape},
    stage::Stage,
    workloads::{Measuring, rate, repeat},
    yardsticks::Commits,
};
use crate::store::postgres::past;

/// After a past the disk is as quick as before from this part of its commits on, ...
const AS_QUICK: f64 = 0.9;
/// ... or it is not waited for any longer.
const REST_MOST: Duration = Duration::from_secs(120);
/// What is kept while the past is removed, which began a day ago.
const KEPT: Duration = Duration::from_secs(3_600);

/// What is measured, ...
const NAMES: [&str; 4] = ["fan, tasks", "chain, a hop, p50", "chain, a hop, p99", "diamonds, tasks"];
/// ... and beside which old runs are removed.
const REMOVING: [&str; 4] = [
    "fan, tasks, old runs going",
    "chain, a hop, p50, old runs going",
    "chain, a hop, p99, old runs going",
    "diamonds, tasks, old runs going",
];
/// Of each its unit and its values.
type Figures = [(&'static str, Vec<f64>); 4];

impl<T: FnMut(&str)> Measuring<'_, T> {
    /// On the empty database, after a past of many rows, and while that is removed.
    pub(super) async fn history(&mut self) -> Result<(), BenchError> {
        let before = self.three(None).await?;
        self.past().await?;
        let after = self.three(None).await?;
        self.beside(NAMES, &after, ("on the empty database", &before));
        let there = past::left(&self.place.database_url).await?;
        let removing = self.three(Some(KEPT)).await?;
        self.beside(REMOVING, &removing, ("nobody removes", &after));
        let gone = there.saturating_sub(past::left(&self.place.database_url).await?);
        if gone == 0 {
            return Err(BenchError::Wrong("no old run was removed while that was measured".to_owned()));
        }
        self.remark(Workload::History.name(), "runs removed meanwhile".to_owned(), "", gone as f64);
        Ok(())
    }

    fn beside(&mut self, names: [&'static str; 4], now: &Figures, (what, before): (&'static str, &Figures)) {
        for ((name, (unit, now)), (_, before)) in names.into_iter().zip(now).zip(before) {
            self.figure((Workload::History.name(), name, unit), now.clone(), (what, middle(before)));
        }
    }

    /// Makes the past.
    async fn past(&mut self) -> Result<(), BenchError> {
        let name = Workload::History.name();
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

    /// Fan, chain and diamonds, each time; while what ended longer ago than that is removed, as an operator does.
    async fn three(&mut self, kept: Option<Duration>) -> Result<Figures, BenchError> {
        let mut stage = Stage::open(self.params, self.place).await?;
        let keeping = match kept {
            Some(kept) => Some(stage.conducting.housekeeping(&self.place.database_url, kept).await?),
            None => None,
        };
        let stop = CancellationToken::new();
        let measured = async {
            let measured = self.runs(&mut stage).await;
            stop.cancel();
            measured
        };
        let removing = OptionFuture::from(keeping.as_ref().map(|keeping| keeping.run(stop.clone())));
        let (measured, _) = tokio::join!(measured, removing);
        let closed = stage.close().await;
        measured.and_then(|measured| closed.map(|()| measured))
    }

    async fn runs(&self, stage: &mut Stage) -> Result<Figures, BenchError> {
        let fans = repeat(self.params, stage, Shape::Fan(1_000), 1).await?;
        let chains = repeat(self.params, stage, Shape::Chain(100), 1).await?;
        let diamonds = repeat(self.params, stage, Shape::Diamond, 200).await?;
        let rates = |timings: &[Timing], tasks| timings.iter().map(|t| rate(tasks, t.lasted())).collect();
        let hops: Vec<Vec<f64>> = chains.iter().map(hops).collect();
        Ok([
            ("/s", rates(&fans, 1_002)),
            ("ms", hops.iter().map(|hops| middle(hops)).collect()),
            ("ms", hops.iter().map(|hops| part(hops, 0.99)).collect()),
            ("/s", rates(&diamonds, 2_000)),
        ])
    }
}
