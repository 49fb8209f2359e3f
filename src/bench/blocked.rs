//! Many live runs that wait for approvals: what they cost while nothing happens, and how soon they are there again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bench::{
    BenchError, Workload,
    apart::{Apart, Where},
    crew::Crew,
    orders::{APPROVED, Order},
    shapes::{NAMESPACE, POOL, Shape},
    stage::password,
    workloads::Measuring,
};
use crate::queue::redis::yardstick::Bare;
use crate::store::postgres::{migrate, yardstick};

/// What leadership writes, second by second.
const OF_LEADERSHIP: &str = "shards";
/// Tasks that a worker runs when Redis loses everything.
const RUNNING: usize = 200;
/// Slots that it has beside them.
const FREE: u16 = 16;
/// What was written is told by each connection within ten seconds after it became idle.
const COUNTED: Duration = Duration::from_secs(11);

/// What a process did while nothing was to be done.
struct Idle {
    resident: f64,
    /// Of one core.
    worked: f64,
}

impl<T: FnMut(&str)> Measuring<'_, T> {
    /// Memory, idleness, a restart, and a Redis that lost everything.
    pub(super) async fn blocked(&mut self) -> Result<(), BenchError> {
        migrate::up(&self.place.database_url, None).await?;
        let (mut apart, _) = self.apart().await?;
        let mut crew = Crew::default();
        let slots = u16::try_from(RUNNING).unwrap_or(u16::MAX - FREE) + FREE;
        let admit = self.hire(&mut apart, &mut crew, slots).await?;
        let measured = self.blocked_with(apart, &mut crew, &admit).await;
        let gone = crew.go().await;
        let ended = async {
            let mut apart = measured?;
            apart.ask(&Order::Dismiss { pool: POOL.to_owned() }).await?;
            apart.end().await
        };
        ended.await.and(gone)
    }

    async fn blocked_with(
        &mut self,
        mut apart: Apart,
        crew: &mut Crew,
        admit: &Order,
    ) -> Result<Apart, BenchError> {
        let runs = self.params.sizes.runs;
        let load = Order::Load { shape: Shape::Asking, runs, namespace: NAMESPACE.to_owned() };
        apart.ask(&load).await?;
        let base = self.idle(&apart, runs).await?;
        let (mut apart, again) = self.restart(apart, runs, admit).await?;
        let name = Workload::Blocked.name();
        self.figure((name, "live after a restart", "s"), vec![again], ("a start without runs", base.1));
        self.remark(name, "resident after it".to_owned(), "MB", apart.resident()? / 1e6);
        self.lose(&mut apart, crew).await?;
        Ok(apart)
    }

    /// One that leads everything in the bench's own place.
    pub(super) async fn apart(&self) -> Result<(Apart, usize), BenchError> {
        let (database_url, redis) = (self.place.database_url.as_str(), &self.place.redis);
        Apart::start(self.params, Where { database_url, redis, number: 0, of: 1 }).await
    }

    /// A worker of the usual pool.
    pub(super) async fn hire(
        &self,
        apart: &mut Apart,
        crew: &mut Crew,
        slots: u16,
    ) -> Result<Order, BenchError> {
        let password = password();
        let (pool, word) = (POOL.to_owned(), password.clone());
        let admit = Order::Admit { pool, password: word, slots: usize::from(slots) };
        apart.ask(&admit).await?;
        crew.hire(self.params, &self.place.redis, (POOL, &password), slots)?;
        apart.ask(&Order::Present(crew.len())).await?;
        Ok(admit)
    }

    /// Beside a conductor without runs, which idles in the same seconds; how long that one took to start, in seconds.
    async fn idle(&mut self, apart: &Apart, runs: usize) -> Result<(Idle, f64), BenchError> {
        let (clock, lasts) = (self.params.clock.clone(), Duration::from_secs(self.params.sizes.idle));
        let url = self.place.further().await?;
        migrate::up(&url, None).await?;
        let redis = self.place.redis.clone().with_prefix(&format!("{}-base", self.place.redis.prefix()))?;
        let began = clock.running();
        let (base, _) =
            Apart::start(self.params, Where { database_url: &url, redis: &redis, number: 0, of: 1 }).await?;
        let started = (clock.running() - began).as_secs_f64();
        clock.sleep(lasts.max(COUNTED)).await;
        let before = (apart.worked()?, base.worked()?, self.written().await?, clock.running());
        clock.sleep(lasts).await;
        let passed = (clock.running() - before.3).as_secs_f64();
        let of = |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() / passed * 100.0;
        let loaded = Idle { resident: apart.resident()?, worked: of(apart.worked()?, before.0) };
        let empty = Idle { resident: base.resident()?, worked: of(base.worked()?, before.1) };
        clock.sleep(COUNTED).await;
        let after = self.written().await?;
        base.end().await?;
        Bare::new(&redis)?.forget().await?;
        self.place.drop_further().await?;
        self.tell_idle(runs, &loaded, &empty).await?;
        self.tell_written(&before.2, &after, passed + COUNTED.as_secs_f64());
        Ok((empty, started))
    }

    async fn tell_idle(&mut self, runs: usize, loaded: &Idle, base: &Idle) -> Result<(), BenchError> {
        let name = Workload::Blocked.name();
        let megabytes = |idle: &Idle| idle.resident / 1e6;
        self.figure((name, "resident", "MB"), vec![megabytes(loaded)], ("no runs", megabytes(base)));
        let more = (loaded.resident - base.resident).max(0.0) / runs as f64;
        let kept: i64 =
            yardstick::tables(&self.place.database_url).await?.iter().map(|t| t.bytes + t.index_bytes).sum();
        let kept = kept as f64 / runs as f64;
        self.figure((name, "a run, over the base", "bytes"), vec![more], ("a run in Postgres", kept));
        self.figure(
            (name, "a task, over the base", "bytes"),
            vec![more / 10.0],
            ("a task in Postgres", kept / 10.0),
        );
        self.figure((name, "idle", "% of a core"), vec![loaded.worked], ("no runs", base.worked));
        Ok(())
    }

    /// Rows written so far, by table.
    async fn written(&self) -> Result<BTreeMap<String, i64>, BenchError> {
        let tables = yardstick::tables(&self.place.database_url).await?;
        Ok(tables.into_iter().map(|table| (table.name, table.written)).collect())
    }

    fn tell_written(&mut self, before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>, seconds: f64) {
        let (name, mut leadership, mut others) = (Workload::Blocked.name(), 0.0, 0.0);
        for (table, now) in after {
            let rows = (now - before.get(table).copied().unwrap_or(0)) as f64 / seconds * 60.0;
            match table.as_str() {
                OF_LEADERSHIP => leadership = rows,
                _ if rows > 0.0 => {
                    others += rows;
                    self.remark(name, format!("rows written in {table}, idle"), "a minute", rows);
                }
                _ => {}
            }
        }
        self.figure((name, "rows written, idle", "a minute"), vec![others], ("leadership's", leadership));
    }

    /// From the word to end in order until the next process has every run; it shows that they can be approved.
    async fn restart(
        &mut self,
        apart: Apart,
        runs: usize,
        admit: &Order,
    ) -> Result<(Apart, f64), BenchError> {
        let clock = &self.params.clock;
        let began = clock.running();
        apart.end().await?;
        let (mut apart, live) = self.apart().await?;
        let took = (clock.running() - began).as_secs_f64();
        if live != runs {
            return Err(BenchError::Wrong(format!("{live} of {runs} runs are live after a restart")));
        }
        // As a pool's keeper does, which lives in the operator too.
        apart.ask(admit).await?;
        apart.ask(&Order::Approve(APPROVED.min(runs))).await?;
        Ok((apart, took))
    }

    /// Redis loses everything but its workers: until a further run has ended, and until what they run is known again.
    async fn lose(&mut self, apart: &mut Apart, crew: &mut Crew) -> Result<(), BenchError> {
        let (name, clock) = (Workload::Blocked.name(), self.params.clock.clone());
        apart.ask(&Order::Present(crew.len())).await?;
        let one = |shape| Order::Play { shape, runs: 1, namespaces: vec![NAMESPACE.to_owned()] };
        let began = clock.running();
        apart.ask(&one(Shape::Chain(1))).await?;
        let usual = (clock.running() - began).as_secs_f64();
        let load = Order::Load { shape: Shape::Sleepers(RUNNING), runs: 1, namespace: NAMESPACE.to_owned() };
        apart.ask(&load).await?;
        apart.ask(&Order::Held(RUNNING)).await?;
        let bare = Bare::new(&self.place.redis)?;
        let lost = clock.running();
        bare.lose().await?;
        apart.ask(&one(Shape::Chain(1))).await?;
        let ended = (clock.running() - lost).as_secs_f64();
        let known = apart.ask(&Order::Held(RUNNING)).await?;
        let held = (clock.running() - lost).as_secs_f64();
        self.figure((name, "a run, Redis emptied", "s"), vec![ended], ("a run before", usual));
        self.remark(name, format!("{RUNNING} running tasks are known again after"), "s", held);
        self.remark(name, "of them were run again".to_owned(), "tasks", known.retried as f64);
        apart.ask(&Order::Cancel).await.map(drop)
    }
}
