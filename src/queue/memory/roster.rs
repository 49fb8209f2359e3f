//! The keeper of pools over a queue in memory: nobody logs in, so only retiring means something.

use async_trait::async_trait;

use crate::queue::{
    Member, Pools, QueueError, Roster,
    memory::{MemoryQueue, books::Known},
};

#[async_trait]
impl Roster for MemoryQueue {
    async fn admit(&self, pool: &str, _password: &str) -> Result<(), QueueError> {
        self.speak([pool]).map(drop)
    }

    fn user(&self, pool: &str) -> String {
        format!("relay-worker:{pool}")
    }

    async fn admitted(&self) -> Result<Vec<String>, QueueError> {
        Ok(Vec::new())
    }

    async fn dismiss(&self, pool: &str) -> Result<(), QueueError> {
        self.speak([pool]).map(drop)
    }

    async fn members(&self, pool: &str) -> Result<Vec<Member>, QueueError> {
        let books = self.books();
        let of_pool = books.workers.iter().filter(|(_, known)| known.works_for(pool));
        let member = |(id, known): (&String, &Known)| Member {
            worker: id.clone(),
            held: known.open.len() + known.ended.len(),
            retired: known.retired,
        };
        Ok(of_pool.map(member).collect())
    }

    async fn retire(&self, pool: &str, most: usize) -> Result<usize, QueueError> {
        let retired = {
            let mut books = self.speak([pool])?;
            let of_pool = || books.workers.iter().filter(|(_, known)| known.works_for(pool));
            let already = of_pool().filter(|(_, known)| known.retired).count();
            let idle = of_pool().filter(|(_, known)| !known.retired && !known.holds_some());
            let chosen: Vec<String> =
                idle.map(|(id, _)| id.clone()).take(most.saturating_sub(already)).collect();
            for worker in &chosen {
                if let Some(known) = books.workers.get_mut(worker) {
                    known.retired = true;
                }
                books.call(worker);
            }
            already + chosen.len()
        };
        self.server.ordered.notify_waiters();
        Ok(retired)
    }

    async fn recall(&self, pool: &str) -> Result<(), QueueError> {
        {
            let mut books = self.speak([pool])?;
            let retired = books.workers.values_mut().filter(|known| known.works_for(pool) && known.retired);
            for known in retired {
                known.retired = false;
                known.called = true;
            }
        }
        self.server.ordered.notify_waiters();
        // A claim that waits since then looks again.
        self.server.published.notify_waiters();
        Ok(())
    }
}

impl Known {
    /// Is it present, and did it ever claim for this pool?
    fn works_for(&self, pool: &str) -> bool {
        let pools = match &self.pools {
            Some(Pools::Every) => true,
            Some(Pools::One(own)) => own == pool,
            None => false,
        };
        pools && self.beat.is_some()
    }
}
