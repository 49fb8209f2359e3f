//! A future that can be stopped for a while, or for good, at any await: a conductor or a worker as a process.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
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
    /// How often it committed.
    commits: AtomicU64,
}

/// Of which life, and the number of it there.
pub type Commit = (u64, u64);

#[derive(Default)]
struct Gate {
    shut: bool,
    wakers: Vec<Waker>,
}

impl Life {
    pub fn new(name: String, number: u64) -> Arc<Life> {
        let (killed, stop) = (CancellationToken::new(), CancellationToken::new());
        let gate = Mutex::default();
        Arc::new(Life { name, number, killed, stop, gate, commits: AtomicU64::new(0) })
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits once more.
    pub fn commits(&self) -> Commit {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.last_commit()
    }

    pub fn last_commit(&self) -> Commit {
        (self.number, self.commits.load(Ordering::Relaxed))
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.gate().shut = true;
    }

    /// SIGCONT.
    pub fn resume(&self) {
        let wakers = {
            let mut gate = self.gate();
            gate.shut = false;
            std::mem::take(&mut gate.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// What the process does beside itself stands still with it, and goes on here.
    pub async fn awake(&self) {
        poll_fn(|cx| self.poll_awake(cx)).await;
    }

    fn poll_awake(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.gate();
        if !gate.shut {
            return Poll::Ready(());
        }
        gate.wakers.push(cx.waker().clone());
        Poll::Pending
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
        ready!(self.life.poll_awake(cx));
        self.inner.as_mut().poll(cx)
    }
}
