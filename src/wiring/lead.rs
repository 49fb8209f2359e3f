//! From standing by to leading: the shards are asked for again and again until they are ours.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::anyhow;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use relay::api::health::Check;
use relay::conductor::{Conductor, ConductorError, Counters, Handle, Kept, Outlook};
use relay::model::ids::ShardId;
use relay::queue::QueueError;
use relay::store::{StoreError, TAKEOVER_AFTER};

use crate::wiring::{division::Division, operator::House, patience::Patience, term::Base};

/// How often a shard that somebody else leads is asked for, which is one read: a leader that goes in order is followed so
/// much later. One that says nothing is followed in the moment in which that may be.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Ages are told in whole milliseconds: so much later nothing is rounded.
const BEHIND: Duration = Duration::from_millis(2);

/// A conductor that leads and works.
pub struct Leading {
    /// Speaks to it.
    pub handle: Handle,
    /// What it leads.
    pub shards: Arc<BTreeSet<ShardId>>,
    /// What it tells.
    pub outlook: Arc<Outlook>,
    /// Its work.
    pub work: Working,
}

/// A conductor at work.
pub struct Working(JoinSet<Result<Counters, ConductorError>>);

impl Working {
    /// Its end. In order only when it was told to stop.
    pub async fn end(mut self) -> anyhow::Result<()> {
        match self.0.join_next().await {
            Some(Ok(Ok(counters))) => {
                tracing::info!(
                    commits = counters.commits,
                    stale = counters.stale,
                    aside = counters.aside,
                    "The conductor has given its shards up"
                );
                Ok(())
            }
            Some(Ok(Err(ConductorError::Deposed(shard)))) => Err(anyhow!(
                "another operator leads shard {} now; this one ends so that nothing is written twice",
                shard.number()
            )),
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(error)) => Err(anyhow!("the conductor died: {error}")),
            None => Err(anyhow!("the conductor is gone")),
        }
    }
}

/// What is to be led: `first`, if that is known, and otherwise what the division says. `held` was kept by the term before.
pub struct Wish<'a> {
    /// Tells it.
    pub division: &'a mut Division,
    /// Kept by the term before.
    pub held: &'a BTreeSet<ShardId>,
    /// To be tried at once.
    pub first: Option<BTreeSet<ShardId>>,
}

/// Waits until this process leads. Each try has a conductor of its own. The claim is looked at again before each. None: told
/// to stop.
pub async fn lead(
    house: &House,
    base: &Base,
    mut wish: Wish<'_>,
    (stop, kept): (&CancellationToken, &Kept),
) -> anyhow::Result<Option<Leading>> {
    let (health, mut standing_by) = (&house.health, false);
    let mut patience = Patience::at_most(&house.clock, LOOK_EVERY);
    loop {
        let shards = match wish.first.take() {
            Some(shards) => shards,
            None => wish.division.next(wish.held).await,
        };
        // When the one who leads can be followed, unless it says by then that it is alive.
        let mut over = Duration::MAX;
        let tried = match base.claim.holds().await {
            Ok(()) => try_to_lead(base, house, shards, (stop, kept)).await?,
            Err(error) => Tried::Failed(error.into()),
        };
        match tried {
            Tried::Leads(leading, live_runs) => {
                // First, so that nobody finds it ready in between.
                health.bad(Check::Kubernetes, "nothing is watched yet");
                health.good(Check::Leadership, &wish.division.said(leading.shards.len()));
                tracing::info!(live_runs, shards = leading.shards.len(), "This operator leads");
                return Ok(Some(leading));
            }
            Tried::Stopped => return Ok(None),
            Tried::Failed(ConductorError::Held { holder, renewed_ms_ago, .. }) => {
                if !standing_by {
                    tracing::info!(%holder, renewed_ms_ago, "Another operator leads; this one stands by");
                    standing_by = true;
                }
                over = TAKEOVER_AFTER.saturating_sub(Duration::from_millis(renewed_ms_ago)) + BEHIND;
                health.good(Check::Leadership, &format!("it stands by; {holder} leads"));
                health.good(Check::Kubernetes, "nothing is watched while standing by");
            }
            Tried::Failed(error) if passes(&error) => {
                health.bad(Check::Leadership, &error.to_string());
                if patience.speaks() {
                    tracing::warn!(%error, "The shards could not be taken yet");
                }
            }
            Tried::Failed(error) => return Err(error.into()),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            () = patience.wait() => {}
            () = house.clock.sleep(over) => {}
        }
    }
}

/// What came of one try.
enum Tried {
    /// So many runs are live.
    Leads(Leading, usize),
    Failed(ConductorError),
    /// It was told to stop.
    Stopped,
}

async fn try_to_lead(
    base: &Base,
    house: &House,
    shards: BTreeSet<ShardId>,
    (stop, kept): (&CancellationToken, &Kept),
) -> anyhow::Result<Tried> {
    let outlook = Arc::new(Outlook::default());
    let (conductor, handle) = Conductor::new(base.params(house, &shards, &outlook));
    let mut work = JoinSet::new();
    work.spawn(conductor.run_and_keep(stop.clone(), kept.clone()));
    // It answers once it has its shards and every live run is loaded.
    let ended = tokio::select! {
        biased;
        ended = work.join_next() => ended,
        Some(live) = handle.live() => {
            let leading = Leading { handle, shards: Arc::new(shards), outlook, work: Working(work) };
            return Ok(Tried::Leads(leading, live.len()));
        }
    };
    match ended {
        Some(Ok(Ok(_) | Err(ConductorError::Stopped))) => Ok(Tried::Stopped),
        Some(Ok(Err(error))) => Ok(Tried::Failed(error)),
        Some(Err(error)) => Err(anyhow!("the conductor died: {error}")),
        None => Err(anyhow!("the conductor is gone")),
    }
}

/// May it be otherwise a moment later?
fn passes(error: &ConductorError) -> bool {
    matches!(
        error,
        ConductorError::Deposed(_)
            | ConductorError::Store(
                StoreError::Unavailable(_) | StoreError::Unknown(_) | StoreError::Deposed { .. }
            )
            | ConductorError::Queue(
                QueueError::Unavailable(_) | QueueError::Full(_) | QueueError::UsersRefused(_)
            )
    )
}
