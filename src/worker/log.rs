//! Where an attempt's output goes: numbered, bounded, in the order in which it was read.

use std::sync::Arc;

use tokio::sync::Mutex;

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
    /// Held while the feed makes us wait, so that lines reach it in the order of their numbers.
    written: Arc<Mutex<Written>>,
}

struct Written {
    lines: u64,
    bytes_left: usize,
    cut: bool,
    bound: usize,
}

impl LogSink {
    /// An empty log of at most `bytes` bytes.
    pub fn new(job: JobId, feed: Arc<dyn Feed>, clock: Clock, bytes: usize) -> LogSink {
        let written = Written { lines: 0, bytes_left: bytes, cut: false, bound: bytes };
        LogSink { job, feed, clock, written: Arc::new(Mutex::new(written)) }
    }

    /// Adds a whole line.
    pub async fn line(&self, stream: Stream, text: &str) {
        self.lines(stream, vec![Line { text: text.to_owned(), partial: false }]).await;
    }

    /// Adds lines; waits while a reader of every line has no room. Beyond the bound they are dropped, behind a mark.
    pub async fn lines(&self, stream: Stream, lines: Vec<Line>) {
        let mut written = self.written.lock().await;
        if written.cut || lines.is_empty() {
            return;
        }
        let mut taken = Vec::with_capacity(lines.len());
        for line in lines {
            // Each line counts its end as well, so that empty lines have a bound too.
            let Some(left) = written.bytes_left.checked_sub(line.text.len() + 1) else {
                written.cut = true;
                break;
            };
            written.bytes_left = left;
            taken.push(self.numbered(&mut written, stream, line));
        }
        if written.cut {
            let text = format!(
                "[relay] The log of this attempt has reached {}: the rest is dropped.",
                size(written.bound)
            );
            taken.push(self.numbered(&mut written, Stream::Stderr, Line { text, partial: false }));
        }
        self.feed.log(taken).await;
    }

    fn numbered(&self, written: &mut Written, stream: Stream, line: Line) -> LogLine {
        written.lines += 1;
        let Line { text, partial } = line;
        LogLine { job: self.job.clone(), stream, number: written.lines, at: self.clock.now(), text, partial }
    }
}

fn size(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        mebibytes => format!("{mebibytes} MiB"),
    }
}
