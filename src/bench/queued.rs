//! What a task that waits for a worker takes of Redis.

use crate::bench::{
    BenchError, Workload,
    shapes::{Maker, POOL, SCRIPT_BYTES, Shape},
    stage::{Stage, password},
    workloads::Measuring,
};
use crate::queue::redis::yardstick::Bare;

/// As many as the conductor publishes of a pool before any has ended.
const TASKS: usize = 1_000;
/// Characters of a job's name: run, task, item, round and attempt.
const NAME: usize = 46;

impl<T: FnMut(&str)> Measuring<'_, T> {
    /// Bytes a task, of no-ops and of scripts.
    pub(super) async fn queued(&mut self, stage: &mut Stage) -> Result<(), BenchError> {
        let (name, bare) = (Workload::Queued.name(), Bare::new(&self.place.redis)?);
        stage.conducting.admit(POOL, &password(), TASKS).await?;
        let of_names = bare.bytes_of_names(TASKS, NAME).await? as f64 / TASKS as f64;
        for (what, shape) in [("a no-op", Shape::Each(TASKS)), ("a script", Shape::Scripts(TASKS))] {
            let before = bare.bytes().await?;
            let maker = Maker::new(shape)?;
            let runs = stage.conducting.submit(std::slice::from_ref(&maker), 1, true).await?.named;
            stage.conducting.books(|books| books.pending.len() >= TASKS).await?;
            let taken = bare.bytes().await? - before;
            stage.conducting.cancel(&runs).await?;
            stage.conducting.books(|books| books.pending.is_empty()).await?;
            self.figure(
                (name, what, "bytes"),
                vec![taken as f64 / TASKS as f64],
                ("its name in a sorted set", of_names),
            );
        }
        self.remark(name, "the script is so long".to_owned(), "bytes", SCRIPT_BYTES as f64);
        Ok(())
    }
}
