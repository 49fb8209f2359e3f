//! Room on the stack: the evaluator needs up to 50 KiB for each level of a tree, in every build profile.

use std::thread;

use super::limits::{SHALLOW, STACK_BASE_BYTES, STACK_BYTES_PER_LEVEL};

/// Does `work`, which recurses `depth` levels into the evaluator: here if it is shallow, as nearly all
/// expressions are, else on a thread with a stack of its own that has ended when this returns.
/// None if there was no such thread, or `work` panicked on it.
pub fn with_room<T: Send>(depth: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    if depth <= SHALLOW {
        return Some(work());
    }
    let bytes = STACK_BASE_BYTES + depth * STACK_BYTES_PER_LEVEL;
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("expression".into()).stack_size(bytes);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    })
}
