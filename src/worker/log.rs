//! Where an attempt's output goes: numbered, bounded, in the order in which it was read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as Turns;

use crate::clock::Clock;
use crate::feed::{Feed, LogLine, Stream};
use crate::model::job::JobId;

/// A line as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Without its end.
    pub text: String,
    /// Does it go on in the next one?
    pub partial: bool,
}

/// The log of one attempt. Clones write to the same log.
#[derive(Clone)]
pub struct LogSink {
    job: JobId,
    feed: Arc<dyn Feed>,
    clock: Clock,
    written: Arc<Mutex<Written>>,
    /// Held while the feed makes us wait, so that lines reach it in the order of their numbers.
    turns: Arc<Turns<()>>,
}

struct Written {
    /// What the feed has not taken yet. As long as the task runs, whoever adds lines waits for it.
    waiting: Vec<LogLine>,
    lines: u64,
    bytes_left: usize,
    cut: bool,
    bound: usize,
}

impl LogSink {
    /// An empty log of at most `bytes` bytes.
    pub fn new(job: JobId, feed: Arc<dyn Feed>, clock: Clock, bytes: usize) -> LogSink {
        let written = Written { waiting: Vec::new(), lines: 0, bytes_left: bytes, cut: false, bound: bytes };
        LogSink { job, feed, clock, written: Arc::new(Mutex::new(written)), turns: Arc::default() }
    }

    /// Adds a whole line.
    pub async fn line(&self, stream: Stream, text: &str) {
        self.lines(stream, vec![Line { text: text.to_owned(), partial: false }]).await;
    }

    /// Adds lines; waits while a reader of every line has no room. Beyond the bound they are dropped, behind a mark.
    pub async fn lines(&self, stream: Stream, lines: Vec<Line>) {
        self.note(stream, lines);
        self.flush().await;
    }

    /// Adds lines without waiting: `flush` brings them to the feed.
    pub fn note(&self, stream: Stream, lines: Vec<Line>) {
        let mut written = self.written();
        if written.cut || lines.is_empty() {
            return;
        }
        for line in lines {
            // Each line counts its end as well, so that empty lines have a bound too.
            let Some(left) = written.bytes_left.checked_sub(line.text.len() + 1) else {
                written.cut = true;
                break;
            };
            written.bytes_left = left;
            self.number(&mut written, stream, line);
        }
        if written.cut {
            let text = format!(
                "[relay] The log of this attempt has reached {}: the rest is dropped.",
                size(written.bound)
            );
            self.number(&mut written, Stream::Stderr, Line { text, partial: false });
        }
    }

    /// Waits until the feed has taken every line. Whoever drops this loses nothing: lines stay until the feed has said
    /// that it took them, and one that it is given twice has the same number.
    pub async fn flush(&self) {
        let _turn = self.turns.lock().await;
        loop {
            let lines = self.written().waiting.clone();
            if lines.is_empty() {
                return;
            }
            let taken = lines.len();
            self.feed.log(lines).await;
            self.written().waiting.drain(..taken);
        }
    }

    fn number(&self, written: &mut Written, stream: Stream, line: Line) {
        written.lines += 1;
        let (job, number, at) = (self.job.clone(), written.lines, self.clock.now());
        let Line { text, partial } = line;
        written.waiting.push(LogLine { job, stream, number, at, text, partial });
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        mebibytes => format!("{mebibytes} MiB"),
    }
}
