//! One run of very many tasks: what each costs the conductor, and how fast they go.

use std::time::Duration;

use crate::bench::{
    BenchError, Workload,
    apart::Apart,
    crew::Crew,
    orders::Order,
    shapes::{NAMESPACE, POOL, Shape},
    workloads::{Measuring, rate},
};
use crate::store::postgres::{migrate, yardstick};

/// Beside so many.
const FEW: usize = 1_000;
/// What a process took for its births and needs no longer is given back in this time, or never.
const REST: Duration = Duration::from_secs(2);

impl<T: FnMut(&str)> Measuring<'_, T> {
    /// Its rows are born while no worker is there; then one comes.
    pub(super) async fn huge(&mut self) -> Result<(), BenchError> {
        migrate::up(&self.place.database_url, None).await?;
        let (mut apart, _) = self.apart().await?;
        let mut crew = Crew::default();
        let measured = self.huge_with(&mut apart, &mut crew).await;
        let gone = crew.go().await;
        measured?;
        apart.ask(&Order::Dismiss { pool: POOL.to_owned() }).await?;
        apart.end().await.and(gone)
    }

    async fn huge_with(&mut self, apart: &mut Apart, crew: &mut Crew) -> Result<(), BenchError> {
        let (name, clock, width) =
            (Workload::Huge.name(), self.params.clock.clone(), self.params.sizes.width);
        // A few are born and cancelled first: pages of the program that were never touched before are no task's.
        let load = Order::Load { shape: Shape::Each(FEW), runs: 1, namespace: NAMESPACE.to_owned() };
        apart.ask(&load).await?;
        apart.ask(&Order::Transitions(FEW as u64)).await?;
        apart.ask(&Order::Cancel).await?;
        let base = apart.resident()?;
        let load = Order::Load { shape: Shape::Each(width), runs: 1, namespace: NAMESPACE.to_owned() };
        apart.ask(&load).await?;
        // Each item is born by one.
        apart.ask(&Order::Transitions(width as u64)).await?;
        clock.sleep(REST).await;
        let more = (apart.resident()? - base).max(0.0) / width as f64;
        let tables = yardstick::tables(&self.place.database_url).await?;
        let kept: i64 = tables.iter().map(|table| table.bytes + table.index_bytes).sum();
        self.figure(
            (name, "a task, over the base", "bytes"),
            vec![more],
            ("a task in Postgres", kept as f64 / width as f64),
        );
        self.remark(name, "resident without it".to_owned(), "MB", base / 1e6);
        let began = clock.running();
        self.hire(apart, crew, self.params.slots).await?;
        apart.ask(&Order::Ends(1)).await?;
        let tasks = rate(width, clock.running() - began);
        let peak = apart.resident()?;
        self.remark(name, "resident at its end".to_owned(), "MB", peak / 1e6);
        let (shape, namespaces) = (Shape::Each(FEW), vec![NAMESPACE.to_owned()]);
        let mut few = Vec::new();
        for _ in 0..self.params.times {
            let play = Order::Play { shape, runs: 1, namespaces: namespaces.clone() };
            few.push(FEW as f64 / apart.ask(&play).await?.lasted);
        }
        let few = crate::bench::report::middle(&few);
        self.figure((name, "tasks", "/s"), vec![tasks], ("1,000 tasks", few));
        Ok(())
    }
}
