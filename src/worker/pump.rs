//! From a pipe into the log, until nobody writes to it any more. While the task runs it waits for the log, which so slows
//! down whoever writes too much; once the task has ended nothing of it waits for the log any longer.

use std::{collections::VecDeque, io, pin::pin, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::sync::CancellationToken;

use crate::feed::Stream;
use crate::worker::{
    lines::Splitter,
    log::{Line, LogSink},
};

/// Once the task has ended, the pipe is read for so long if a process that left the group still holds it.
const LINGER: Duration = Duration::from_secs(1);
/// And so much is read at most, in bytes: what a pipe can hold.
const LEFT_IN_PIPE: usize = 1 << 20;
/// Bytes of a read at first: most tasks write little, and this much is at hand for any allocator.
const FIRST_READ: usize = 512;
/// And of one once there was as much.
const READ: usize = 32 << 10;

/// The last lines that say something.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
}

impl Tail {
    /// So many lines.
    const LINES: usize = 3;
    /// So many characters of each.
    const WIDTH: usize = 300;

    fn see(&mut self, lines: &[Line]) {
        let telling = lines.iter().rev().map(|l| l.text.trim()).filter(|text| !text.is_empty());
        let new: Vec<String> =
            telling.take(Tail::LINES).map(|text| text.chars().take(Tail::WIDTH).collect()).collect();
        self.lines.extend(new.into_iter().rev());
        while self.lines.len() > Tail::LINES {
            self.lines.pop_front();
        }
    }

    /// The lines in one, if there are any.
    pub(super) fn text(&self) -> Option<String> {
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        if lines.is_empty() { None } else { Some(lines.join(" | ")) }
    }
}

/// Reads a pipe to its end, or for a bounded time and amount after the task has `ended`.
pub(super) async fn pump<R>(pipe: Option<R>, stream: Stream, log: &LogSink, ended: &CancellationToken) -> Tail
where
    R: AsyncRead + Unpin,
{
    let (mut splitter, mut tail) = (Splitter::default(), Tail::default());
    let Some(mut pipe) = pipe else { return tail };
    let mut too_long = pin!(async {
        ended.cancelled().await;
        tokio::time::sleep(LINGER).await;
    });
    let mut buffer = Vec::with_capacity(FIRST_READ);
    let mut left = LEFT_IN_PIPE;
    loop {
        // The pipe first: time that the log made us wait is not held against what is still in it.
        let read = tokio::select! {
            biased;
            read = pipe.read_buf(&mut buffer) => read,
            () = &mut too_long => break,
        };
        let bytes = match read {
            Ok(0) => break,
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let lines = splitter.take(&buffer);
        let full = bytes == buffer.capacity();
        buffer.clear();
        if full {
            buffer.reserve(READ);
        }
        tail.see(&lines);
        add(log, stream, lines, ended).await;
        if ended.is_cancelled() {
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    }
    let rest: Vec<Line> = splitter.rest().into_iter().collect();
    tail.see(&rest);
    add(log, stream, rest, ended).await;
    tail
}

async fn add(log: &LogSink, stream: Stream, lines: Vec<Line>, ended: &CancellationToken) {
    log.note(stream, lines);
    ended.run_until_cancelled(log.flush()).await;
}
