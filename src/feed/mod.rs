//! Live views.
use crate::model::{change::Batch, ids::RunId};
/// Live views.
pub trait Feed: Send + Sync {
    /// Committed.
    fn committed(&self, batch: &Batch);
    /// Set aside.
    fn set_aside(&self, run: &RunId, why: &str);
}
