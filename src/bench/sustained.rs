//! Transitions held for minutes: fans after fans, some at a time, and what they leave in the database.

use std::time::Duration;

use crate::bench::{
    BenchError, Workload,
    conducting::{LONGEST, ended_well},
    report::middle,
    shapes::{Maker, Shape},
    stage::Stage,
    workloads::{Measuring, rate},
};
use crate::store::postgres::yardstick;

/// What is run, again and again.
const SHAPE: Shape = Shape::Fan(1_000);
/// Runs that are live at a time.
const LIVE: usize = 4;
/// Parts of the time that are looked at each for itself: minutes, when it is ten of them.
const PARTS: u32 = 10;

impl<T: FnMut(&str)> Measuring<'_, T> {
    /// Transitions a second, of all the time and of its beginning and end.
    pub(super) async fn transitions(&mut self, stage: &mut Stage) -> Result<(), BenchError> {
        let name = Workload::Transitions.name();
        let maker = Maker::new(SHAPE)?;
        stage.play(&maker, 1).await?;
        let warm = self.turn(stage, &maker, 1).await?;
        let alone = rate(warm.timing.seen.transitions as usize, warm.alone);
        let whole = Duration::from_secs_f64(self.params.sizes.minutes * 60.0);
        let parts = held(stage, &maker, (self, name), whole / PARTS).await?;
        let all = parts.iter().sum::<f64>() / parts.len().max(1) as f64;
        self.figure((name, "held", "/s"), vec![all], ("a fan's commits alone", alone));
        let of = |from: usize, to: usize| parts.get(from..to).unwrap_or_default().to_vec();
        let (early, late) = (of(1, 4), of(7, 10));
        let middle = middle(&early);
        self.figure((name, "parts 8 to 10 of 10", "/s"), late, ("parts 2 to 4", middle));
        self.tables(name).await
    }

    /// What the tables of the database are now.
    pub(super) async fn tables(&mut self, workload: &'static str) -> Result<(), BenchError> {
        for table in yardstick::tables(&self.place.database_url).await? {
            if table.live + table.dead < 1_000 {
                continue;
            }
            let name = &table.name;
            let parts = [
                ("rows", "", table.live as f64),
                ("dead rows", "", table.dead as f64),
                ("its rows", "MB", table.bytes as f64 / 1e6),
                ("its indexes", "MB", table.index_bytes as f64 / 1e6),
            ];
            for (what, unit, value) in parts {
                self.remark(workload, format!("{name}, {what}"), unit, value);
            }
        }
        Ok(())
    }
}

/// Keeps runs live for that long ten times; transitions a second of each part.
async fn held<T: FnMut(&str)>(
    stage: &mut Stage,
    maker: &Maker,
    (measuring, name): (&mut Measuring<'_, T>, &'static str),
    part: Duration,
) -> Result<Vec<f64>, BenchError> {
    let (meter, clock) = (stage.conducting.meter.clone(), measuring.params.clock.clone());
    let (mut parts, makers) = (Vec::new(), std::slice::from_ref(maker));
    meter.begin();
    stage.conducting.submit(makers, LIVE, true).await?;
    let (mut since, mut counted) = (clock.running(), meter.counts().0);
    while parts.len() < PARTS as usize {
        let left = (since + part).saturating_sub(clock.running());
        tokio::select! {
            ended = meter.further_ends() => {
                for (run, (status, _)) in &ended {
                    ended_well(run, *status)?;
                }
                stage.conducting.submit(makers, ended.len(), true).await?;
            }
            () = clock.sleep(left) => {
                let (now, count) = (clock.running(), meter.counts().0);
                let of_part = (count - counted) as f64 / (now - since).as_secs_f64();
                (since, counted) = (now, count);
                parts.push(of_part);
                measuring.remark(name, format!("part {} of {PARTS}", parts.len()), "/s", of_part);
            }
        }
    }
    let mut left = LIVE;
    while left > 0 {
        let ended = tokio::time::timeout(LONGEST, meter.further_ends()).await;
        left -= ended.map_err(|_| BenchError::Wrong("the last runs did not end".to_owned()))?.len().min(left);
    }
    Ok(parts)
}
