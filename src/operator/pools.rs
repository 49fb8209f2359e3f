//! Which pools there are: told by who keeps them, asked by who says what a Run waits for.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::watch;

/// The WorkerPools of the cluster, by name. Until they are told once, none counts as missing.
#[derive(Clone, Debug)]
pub struct Pools {
    known: Arc<watch::Sender<Option<BTreeSet<String>>>>,
}

impl Default for Pools {
    fn default() -> Pools {
        Pools { known: Arc::new(watch::Sender::new(None)) }
    }
}

impl Pools {
    /// These are all there are, each as `<namespace>/<name>`.
    pub fn tell(&self, all: BTreeSet<String>) {
        self.known.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&all);
            if changed {
                *known = Some(all);
            }
            changed
        });
    }

    /// Is it known that there is no such pool?
    pub fn lacks(&self, namespace: &str, name: &str) -> bool {
        let known = self.known.borrow();
        known.as_ref().is_some_and(|known| !known.contains(&format!("{namespace}/{name}")))
    }

    /// Tells when pools come or go.
    pub fn changes(&self) -> watch::Receiver<Option<BTreeSet<String>>> {
        self.known.subscribe()
    }
}
