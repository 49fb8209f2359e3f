//! A future that can be stopped for a while, or for good, at any await: a conductor or a worker as a process.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio_util::sync::CancellationToken;

/// One incarnation of a process.
pub struct Life {
    pub name: String,
    /// Incarnations of conductors are numbered in the order of their birth.
    pub number: u64,
    /// Ends it between two polls, as kill -9 does.
    pub killed: CancellationToken,
    /// Asks it to end in order.
    pub stop: CancellationToken,
    gate: Mutex<Gate>,
}

#[derive(Default)]
struct Gate {
    shut: bool,
    waker: Option<Waker>,
}

impl Life {
    pub fn new(name: String, number: u64) -> Arc<Life> {
        let (killed, stop) = (CancellationToken::new(), CancellationToken::new());
        Arc::new(Life { name, number, killed, stop, gate: Mutex::default() })
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.gate().shut = true;
    }

    /// SIGCONT.
    pub fn resume(&self) {
        let waker = {
            let mut gate = self.gate();
            gate.shut = false;
            gate.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn is_paused(&self) -> bool {
        self.gate().shut
    }

    /// Dies here and now: the caller's future is dropped where it stands.
    pub async fn die<T>(&self) -> T {
        self.killed.cancel();
        std::future::pending().await
    }

    /// Lives `inner`; none if it was killed.
    pub async fn live<T>(self: &Arc<Life>, inner: impl Future<Output = T> + Send) -> Option<T> {
        let stoppable = Stoppable { life: self.clone(), inner: Box::pin(inner) };
        tokio::select! {
            biased;
            () = self.killed.cancelled() => None,
            done = stoppable => Some(done),
        }
    }
}

struct Stoppable<F> {
    life: Arc<Life>,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for Stoppable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        {
            let mut gate = self.life.gate();
            if gate.shut {
                gate.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        self.inner.as_mut().poll(cx)
    }
}
