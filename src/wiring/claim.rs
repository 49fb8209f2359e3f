//! Whose database this is. It is asked before anybody leads: a leader dispatches at once, and what it finds in another
//! cluster's database is not its own to run.

use std::sync::Arc;

use anyhow::Context as _;

use relay::api::health::{Check, Health};
use relay::clock::Clock;
use relay::operator::api::{ApiError, Cluster};
use relay::store::{Store, StoreError};

use crate::wiring::patience::Patience;

/// A store that belongs to this cluster.
pub struct Claim {
    store: Arc<dyn Store>,
    id: String,
}

impl Claim {
    /// Is it still this cluster's? Another one may have adopted it while this process stood by. `Refused` if so.
    pub async fn holds(&self) -> Result<(), StoreError> {
        self.store.claim_cluster(&self.id, false).await
    }
}

/// Says in the store whose it is. The API server and the store are waited for as long as it takes, each call with its
/// bound; an error is what waiting does not mend.
pub async fn claim(
    cluster: &Cluster,
    store: Arc<dyn Store>,
    adopt: bool,
    clock: &Clock,
    health: &Health,
) -> anyhow::Result<Claim> {
    health.bad(Check::Leadership, "not before it is known whose database this is");
    let mut patience = Patience::new(clock);
    let id = loop {
        match cluster.id().await {
            Ok(id) => break id,
            Err(error @ (ApiError::Refused(_) | ApiError::Gone(_))) => {
                return Err(error)
                    .context("the cluster's id, the uid of its namespace kube-system, cannot be read");
            }
            Err(error @ (ApiError::Unavailable(_) | ApiError::Conflict(_) | ApiError::NotLeading)) => {
                health.bad(Check::Kubernetes, &error.to_string());
                if patience.speaks() {
                    tracing::warn!(error.label = error.label(), "Waiting for the API server: {error}");
                }
                patience.wait().await;
            }
        }
    };
    health.bad(Check::Kubernetes, "it told the cluster's id, and nothing is watched yet");
    loop {
        match store.claim_cluster(&id, adopt).await {
            Ok(()) => return Ok(Claim { store, id }),
            Err(error @ (StoreError::Unavailable(_) | StoreError::Unknown(_))) => {
                if patience.speaks() {
                    tracing::warn!(
                        error.label = error.label(),
                        "The database cannot be claimed yet: {error}"
                    );
                }
                patience.wait().await;
            }
            Err(error) => return Err(error).context("the database cannot be used for this cluster"),
        }
    }
}
