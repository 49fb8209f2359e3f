//! Several conductors, each with a part of the shards, beside one with all of them.

use crate::bench::{
    BenchError, Workload,
    apart::{Apart, Where},
    crew::Crew,
    orders::Order,
    report::middle,
    shapes::Shape,
    stage::password,
    workloads::Measuring,
};
use crate::model::ids::ShardId;
use crate::store::postgres::migrate;

/// Diamonds of all namespaces together.
const RUNS: usize = 400;
/// Tasks of each.
const TASKS: usize = 10;

/// A namespace for each part.
fn namespaces(parts: u8) -> Vec<String> {
    let each = ShardId::COUNT / parts;
    let of = |part: u8| {
        let mut names = (0u32..).map(|number| format!("bench-{number}"));
        let is_there = |name: &String| (ShardId::of_namespace(name).number() / each).min(parts - 1) == part;
        names.find(is_there)
    };
    (0..parts).filter_map(of).collect()
}

/// Pools of these namespaces.
fn pool(namespace: &str) -> String {
    format!("{namespace}/default")
}

impl<T: FnMut(&str)> Measuring<'_, T> {
    /// One, then as many as were asked for, of the same namespaces and workers.
    pub(super) async fn conductors(&mut self) -> Result<(), BenchError> {
        migrate::up(&self.place.database_url, None).await?;
        let name = Workload::Conductors.name();
        let most = self.params.sizes.conductors;
        let names = namespaces(most);
        let one = self.led_by(1, &names).await?;
        let alone = middle(&one);
        self.figure((name, "tasks, of one process", "/s"), one, ("itself", alone));
        let several = self.led_by(most, &names).await?;
        self.remark(name, "processes".to_owned(), "", f64::from(most));
        self.figure((name, "tasks, of all processes", "/s"), several, ("one process", alone));
        Ok(())
    }

    /// Tasks a second of all, each time.
    async fn led_by(&mut self, conductors: u8, names: &[String]) -> Result<Vec<f64>, BenchError> {
        let (mut leading, mut crew) = (Vec::new(), Crew::default());
        for number in 0..conductors {
            let (database_url, redis) = (self.place.database_url.as_str(), &self.place.redis);
            let place = Where { database_url, redis, number, of: conductors };
            leading.push(Apart::start(self.params, place).await?.0);
        }
        let parts: Vec<&[String]> = names.chunks(names.len() / leading.len()).collect();
        let measured = self.spread(&mut leading, &parts, &mut crew).await;
        let gone = crew.go().await;
        for (apart, names) in leading.iter_mut().zip(&parts) {
            for name in *names {
                apart.ask(&Order::Dismiss { pool: pool(name) }).await?;
            }
        }
        for apart in leading {
            apart.end().await?;
        }
        measured.and_then(|measured| gone.map(|()| measured))
    }

    async fn spread(
        &mut self,
        leading: &mut [Apart],
        parts: &[&[String]],
        crew: &mut Crew,
    ) -> Result<Vec<f64>, BenchError> {
        let all: usize = parts.iter().map(|names| names.len()).sum();
        let slots = self.params.slots.div_ceil(u16::try_from(all).unwrap_or(u16::MAX)).max(1);
        for (apart, names) in leading.iter_mut().zip(parts) {
            for name in *names {
                let (pool, password) = (pool(name), password());
                let admit =
                    Order::Admit { pool: pool.clone(), password: password.clone(), slots: slots.into() };
                apart.ask(&admit).await?;
                crew.hire(self.params, &self.place.redis, (&pool, &password), slots)?;
            }
            apart.ask(&Order::Present(names.len())).await?;
        }
        let mut rates = Vec::new();
        for time in 0..=self.params.times {
            let began = self.params.clock.running();
            for (apart, names) in leading.iter_mut().zip(parts) {
                let (runs, namespaces) = (RUNS * names.len() / all, names.to_vec());
                apart.tell(&Order::Play { shape: Shape::Diamond, runs, namespaces }).await?;
            }
            for apart in leading.iter_mut() {
                apart.hear().await?;
            }
            let lasted = (self.params.clock.running() - began).as_secs_f64();
            // The first time does not count.
            if time > 0 {
                rates.push((RUNS * TASKS) as f64 / lasted);
            }
        }
        Ok(rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_namespace_of_its_own() {
        for parts in [1, 2, 3, 4, 16] {
            let each = ShardId::COUNT / parts;
            let found: Vec<u8> = namespaces(parts)
                .iter()
                .map(|name| (ShardId::of_namespace(name).number() / each).min(parts - 1))
                .collect();
            assert_eq!(found, (0..parts).collect::<Vec<_>>());
        }
    }
}
