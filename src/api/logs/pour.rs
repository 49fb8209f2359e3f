//! From the store into an answer, page by page, as fast as the client takes it.

use std::{convert::Infallible, time::Duration};

use axum::body::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::api::{
    Params,
    shapes::{LogEntry, Refusal},
};
use crate::feed::{Edge, Item, Reader, Subscription};
use crate::model::{
    log::{LogQuery, StoredLine},
    time::{between, later},
};
use crate::store::StoreError;

/// Wait between tries while the store is away.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// News that are taken from the feed at once.
const NEWS: usize = 1_000;

/// One reader of logs.
pub(super) struct Pour {
    pub(super) params: Params,
    /// The run's.
    pub(super) namespace: String,
    /// The tasks' names, by number.
    pub(super) tasks: Vec<String>,
    /// Whose lines; `after` moves on with what was sent.
    pub(super) query: LogQuery,
    /// How many lines may still be sent.
    pub(super) left: Option<u64>,
    pub(super) follow: bool,
    pub(super) to: mpsc::Sender<Result<Bytes, Infallible>>,
}

/// Why the pouring ends before its end.
enum End {
    /// The client has gone, or takes nothing.
    Gone,
    /// The process ends.
    Leaving,
    /// The store cannot be read.
    Store(StoreError),
    /// The run has ended, and its last lines may be missing.
    Unsettled,
}

impl Pour {
    pub(super) async fn run(mut self) {
        let last_words = match self.pages().await {
            Ok(()) | Err(End::Gone) => return,
            Err(End::Leaving) => "this operator is shutting down".to_owned(),
            Err(End::Store(e)) => {
                tracing::warn!(run.id = %self.query.run, error = %e, error.label = e.label(), "Logs could not be read");
                format!("the store cannot be read: {e}")
            }
            Err(End::Unsettled) => {
                let waited = self.params.limits.settle.as_secs();
                tracing::warn!(run.id = %self.query.run, "The run's last lines may be missing in an answer");
                format!(
                    "the run has ended, but it is not known whether its last lines are in the store, after {waited} s; \
                     Redis, or the operator that leads, may be away; ask again"
                )
            }
        };
        // Whoever has gone by now needs no reason.
        let _ = self.send(&[Refusal { error: last_words, reason: None }]).await;
    }

    async fn pages(&mut self) -> Result<(), End> {
        // Before the first look, so that nothing comes between.
        let mut bell =
            self.follow.then(|| self.params.feed.subscribe(Some(self.query.run.clone()), Reader::Watch));
        let mut spoken = self.params.clock.now();
        loop {
            // Asked before the last look: what was written before the end is seen by it.
            let over = self.is_over().await?;
            if self.all_there_is().await? {
                spoken = self.params.clock.now();
            }
            if over && self.left != Some(0) {
                let settled = self.settle().await?;
                self.all_there_is().await?;
                if !settled {
                    return Err(End::Unsettled);
                }
            }
            if over || bell.is_none() || self.left == Some(0) {
                return Ok(());
            }
            if between(spoken, self.params.clock.now()) >= self.params.limits.heartbeat {
                self.put(Bytes::from_static(b"\n")).await?;
                spoken = self.params.clock.now();
            }
            if let Some(bell) = &mut bell {
                self.wait(bell.as_mut()).await?;
            }
        }
    }

    /// Sends what is in the store behind the last line that was sent. Was there anything?
    async fn all_there_is(&mut self) -> Result<bool, End> {
        let mut any = false;
        loop {
            let page = u64::from(self.params.limits.page.max(1));
            let most = self.left.map_or(page, |left| left.min(page));
            if most == 0 {
                return Ok(any);
            }
            let query = LogQuery { limit: u32::try_from(most).unwrap_or(u32::MAX), ..self.query.clone() };
            let lines = self
                .patiently(|store| {
                    let query = query.clone();
                    async move { store.logs(&query).await }
                })
                .await?;
            // A short page is no end: pages are bounded in bytes too.
            let Some(last) = lines.last() else { return Ok(any) };
            self.query.after = last.position;
            self.left = self.left.map(|left| left.saturating_sub(lines.len() as u64));
            let entries: Vec<LogEntry> = lines.into_iter().map(|line| self.entry(line)).collect();
            self.send(&entries).await?;
            any = true;
        }
    }

    fn entry(&self, stored: StoredLine) -> LogEntry {
        let StoredLine { position, line } = stored;
        let key = line.job.task_run.key;
        let name = usize::try_from(key.task).ok().and_then(|no| self.tasks.get(no)).cloned();
        LogEntry {
            cursor: position,
            task: name.unwrap_or_else(|| key.task.to_string()),
            item: key.item,
            round: key.round,
            attempt: line.job.attempt,
            stream: line.stream,
            number: line.number,
            at: line.at,
            text: line.text,
            partial: line.partial,
        }
    }

    /// Has the run ended, or has it gone?
    async fn is_over(&self) -> Result<bool, End> {
        let run = self.query.run.clone();
        let row = self
            .patiently(|store| {
                let run = run.clone();
                async move { store.run_row(&run).await }
            })
            .await?;
        Ok(row.is_none_or(|row| row.status.is_final()))
    }

    /// Its last lines may still be on their way to the store. Did they come?
    async fn settle(&self) -> Result<bool, End> {
        let settled = tokio::time::timeout(self.params.limits.settle, (self.params.settled)(&self.namespace));
        tokio::select! {
            biased;
            () = self.params.stop.cancelled() => Err(End::Leaving),
            () = self.to.closed() => Err(End::Gone),
            settled = settled => Ok(settled.is_ok()),
        }
    }

    /// Asks the store. A reader that follows bears with one that is away for a while.
    async fn patiently<T, F>(
        &self,
        ask: impl Fn(std::sync::Arc<dyn crate::store::Store>) -> F,
    ) -> Result<T, End>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let until = later(self.params.clock.now(), self.params.limits.patience);
        loop {
            let e = tokio::select! {
                biased;
                () = self.params.stop.cancelled() => return Err(End::Leaving),
                () = self.to.closed() => return Err(End::Gone),
                answer = ask(self.params.store.clone()) => match answer {
                    Ok(answer) => return Ok(answer),
                    Err(e) => e,
                },
            };
            let passing = matches!(e, StoreError::Unavailable(_) | StoreError::Unknown(_));
            if !self.follow || !passing || self.params.clock.now() >= until {
                return Err(End::Store(e));
            }
            self.params.clock.sleep(TRY_AGAIN).await;
        }
    }

    /// Waits until the feed tells of something new, or until it is time to look without that.
    async fn wait(&self, bell: &mut dyn Subscription) -> Result<(), End> {
        let until: Timestamp = later(self.params.clock.now(), self.params.limits.look_every);
        let rung = async {
            loop {
                let items = bell.next(NEWS).await;
                if items.is_empty() {
                    // The feed is closed: only time is left.
                    std::future::pending::<()>().await;
                }
                if items.iter().any(|item| self.concerns(item)) {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.params.stop.cancelled() => Err(End::Leaving),
            () = self.to.closed() => Err(End::Gone),
            () = rung => Ok(()),
            () = self.params.clock.sleep_until(until) => Ok(()),
        }
    }

    /// May it be that there is something to send?
    fn concerns(&self, item: &Item) -> bool {
        match item {
            Item::Missed { .. } => true,
            Item::Line(line) => {
                let key = line.job.task_run.key;
                let task = self.query.task.is_none_or(|task| task == key.task);
                task && (self.query.item.is_none() || self.query.item == key.item)
            }
            Item::Event(event) => matches!(event.edge, Edge::Run { to, .. } if to.is_final()),
        }
    }

    /// Sends values, one a line.
    async fn send<T: serde::Serialize>(&self, values: &[T]) -> Result<(), End> {
        let mut page = Vec::new();
        for value in values {
            match serde_json::to_vec(value) {
                Ok(line) => page.extend(line),
                Err(error) => tracing::error!(%error, "A line of a log could not be written as JSON"),
            }
            page.push(b'\n');
        }
        self.put(Bytes::from(page)).await
    }

    async fn put(&self, page: Bytes) -> Result<(), End> {
        match tokio::time::timeout(self.params.limits.stalled, self.to.send(Ok(page))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => {
                tracing::info!(run.id = %self.query.run, "A client that reads no logs was left");
                Err(End::Gone)
            }
        }
    }
}
