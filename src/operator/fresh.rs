//! Calls that many want the answer of at once: one call serves all who came before it began, and nobody gets an answer
//! that is older than the question.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Calls, by what they ask about.
#[derive(Debug)]
pub struct Fresh<K, V> {
    lanes: Mutex<BTreeMap<K, Arc<Lane<V>>>>,
    /// Counts questions and the beginnings of calls, in the order in which they came.
    turn: AtomicU64,
}

/// The last call about one thing: its turn, and its answer. Whoever asks next waits for it.
type Lane<V> = tokio::sync::Mutex<Option<(u64, V)>>;

impl<K, V> Default for Fresh<K, V> {
    fn default() -> Fresh<K, V> {
        Fresh { lanes: Mutex::default(), turn: AtomicU64::default() }
    }
}

impl<K: Clone + Ord, V: Clone> Fresh<K, V> {
    /// The answer of a call that began after this question: somebody else's, or one's own.
    pub async fn ask<F: Future<Output = V>>(&self, about: &K, call: impl FnOnce() -> F) -> V {
        let came = self.turn.fetch_add(1, Ordering::SeqCst);
        let lane = self.lanes().entry(about.clone()).or_default().clone();
        let mut last = lane.lock().await;
        let answer = match last.as_ref().filter(|(began, _)| *began > came) {
            Some((_, answer)) => answer.clone(),
            None => {
                let began = self.turn.fetch_add(1, Ordering::SeqCst);
                let answer = call().await;
                *last = Some((began, answer.clone()));
                answer
            }
        };
        drop(last);
        drop(lane);
        // Those that nobody waits in, also where whoever waited went away.
        self.lanes().retain(|_, lane| Arc::strong_count(lane) > 1);
        answer
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<K, Arc<Lane<V>>>> {
        // Each step leaves it whole.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
