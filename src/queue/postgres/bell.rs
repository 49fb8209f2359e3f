//! Who waits is woken by NOTIFYs, which one connection listens to.

use std::{sync::Arc, time::Duration};

use sqlx::{Executor, PgPool, postgres::PgListener};
use tokio::{sync::broadcast, task::JoinSet};

use crate::queue::postgres::line::within;

/// The channel; statements name it, too.
const CHANNEL: &str = "relay_queue";
/// Rings that a sleeper may fall behind; one that falls further behind looks once.
const RINGS: usize = 256;
/// First and longest wait before the next try to listen.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What there is news of. As a payload: `j <pool>`, `r`, `w <worker>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ring {
    /// Jobs of a pool.
    Jobs(Arc<str>),
    /// Reports.
    Reports,
    /// Orders for a worker.
    Worker(Arc<str>),
    /// Nobody knows what was missed.
    Anything,
}

impl Ring {
    fn read(payload: &str) -> Ring {
        match payload.split_once(' ') {
            Some(("j", pool)) => Ring::Jobs(pool.into()),
            Some(("w", worker)) => Ring::Worker(worker.into()),
            None if payload == "r" => Ring::Reports,
            // Of another Relay.
            _ => Ring::Anything,
        }
    }
}

/// The bell of one process. It rings until the value goes.
#[derive(Debug)]
pub(super) struct Bell {
    rings: broadcast::Sender<Ring>,
    look: Duration,
    _ear: JoinSet<()>,
}

/// A place to wait in; what rings from its making on is heard.
pub(super) struct Sleeper {
    rings: broadcast::Receiver<Ring>,
    look: Duration,
}

impl Bell {
    pub(super) fn hang(pool: &PgPool, look: Duration, bound: Duration) -> Bell {
        let (rings, mut ear) = (broadcast::Sender::new(RINGS), JoinSet::new());
        ear.spawn(listen(pool.clone(), rings.clone(), (look, bound)));
        Bell { rings, look, _ear: ear }
    }

    pub(super) fn sleeper(&self) -> Sleeper {
        Sleeper { rings: self.rings.subscribe(), look: self.look }
    }

    /// Wakes those of this process.
    pub(super) fn ring(&self, ring: Ring) {
        // Without anybody who waits nobody misses it.
        let _ = self.rings.send(ring);
    }
}

impl Sleeper {
    /// Waits until there may be news of this kind, or it is time to look.
    pub(super) async fn news(mut self, wanted: impl Fn(&Ring) -> bool) {
        let heard = async {
            while let Ok(ring) = self.rings.recv().await {
                if ring == Ring::Anything || wanted(&ring) {
                    return;
                }
            }
        };
        // Either way somebody looks.
        let _ = tokio::time::timeout(self.look, heard).await;
    }
}

/// Listens for as long as it is let.
async fn listen(pool: PgPool, rings: broadcast::Sender<Ring>, (look, bound): (Duration, Duration)) {
    let mut wait = BACK_OFF.0;
    loop {
        match hear(&pool, &rings, (look, bound), &mut wait).await {
            // Closed on purpose.
            Err(sqlx::Error::PoolClosed) => return,
            Err(error) => tracing::warn!(
                %error, look_s = look.as_secs(),
                "The queue in Postgres cannot be listened to; until it can, who waits looks from time to time"
            ),
            Ok(()) => tracing::info!(
                "The connection that listens to the queue in Postgres was lost, and is made anew"
            ),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACK_OFF.1);
    }
}

/// Listens on one connection until it is lost.
async fn hear(
    pool: &PgPool,
    rings: &broadcast::Sender<Ring>,
    (look, bound): (Duration, Duration),
    wait: &mut Duration,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    *wait = BACK_OFF.0;
    // What was told before nobody here has heard.
    let _ = rings.send(Ring::Anything);
    loop {
        match tokio::time::timeout(look, listener.try_recv()).await {
            Ok(Ok(Some(told))) => drop(rings.send(Ring::read(told.payload()))),
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            // A connection that went without a word says nothing either.
            Err(_) if within(bound, listener.execute("select 1")).await.is_err() => return Ok(()),
            Err(_) => {}
        }
    }
}
