//! The feed within the process: one bounded buffer a reader.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::feed::{Event, Feed, Item, LogLine, Reader, Subscription};
use crate::model::ids::RunId;

/// What one reader's buffer holds at most, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Beyond it a watching reader misses the oldest items, and a reader of every line makes workers wait.
    pub buffer: usize,
    /// Beyond it a reader of every line misses the oldest items too: events, for which nobody waits.
    pub last_resort: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { buffer: 4 << 20, last_resort: 128 << 20 }
    }
}

/// A feed in memory. Dropping it closes the readers' ends, once they have read what is there.
#[derive(Debug, Default)]
pub struct MemoryFeed {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    limits: Limits,
    desk: Mutex<Desk>,
    came: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct Desk {
    buffers: BTreeMap<u64, Buffer>,
    last: u64,
    closed: bool,
}

#[derive(Debug)]
struct Buffer {
    run: Option<RunId>,
    reader: Reader,
    items: VecDeque<Item>,
    bytes: usize,
    missed_events: u64,
    missed_lines: u64,
}

struct End {
    shared: Arc<Shared>,
    number: u64,
}

impl MemoryFeed {
    /// A feed with bounds of its own.
    pub fn new(limits: Limits) -> MemoryFeed {
        MemoryFeed { shared: Arc::new(Shared { limits, ..Shared::default() }) }
    }
}

impl Drop for MemoryFeed {
    fn drop(&mut self) {
        self.shared.desk().closed = true;
        self.shared.came.notify_waiters();
    }
}

#[async_trait]
impl Feed for MemoryFeed {
    fn publish(&self, events: Vec<Event>) {
        let limits = self.shared.limits;
        for buffer in self.shared.desk().buffers.values_mut() {
            for event in &events {
                if buffer.wants(&event.run) {
                    buffer.push(Item::Event(event.clone()));
                }
            }
            buffer.shrink(limits);
        }
        self.shared.came.notify_waiters();
    }

    async fn log(&self, lines: Vec<LogLine>) {
        loop {
            let room = self.shared.room.notified();
            if self.shared.desk().take(&lines, self.shared.limits) {
                self.shared.came.notify_waiters();
                return;
            }
            room.await;
        }
    }

    fn subscribe(&self, run: Option<RunId>, reader: Reader) -> Box<dyn Subscription> {
        let mut desk = self.shared.desk();
        desk.last += 1;
        let number = desk.last;
        let empty =
            Buffer { run, reader, items: VecDeque::new(), bytes: 0, missed_events: 0, missed_lines: 0 };
        desk.buffers.insert(number, empty);
        Box::new(End { shared: self.shared.clone(), number })
    }
}

#[async_trait]
impl Subscription for End {
    async fn next(&mut self, max: usize) -> Vec<Item> {
        loop {
            let came = self.shared.came.notified();
            let (items, closed) = self.shared.desk().read(self.number, max.max(1));
            if !items.is_empty() {
                self.shared.room.notify_waiters();
            }
            if !items.is_empty() || closed {
                return items;
            }
            came.await;
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.desk().buffers.remove(&self.number);
        // Whoever waited for this reader need not wait any more.
        self.shared.room.notify_waiters();
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Takes the lines for every reader, unless one that wants each of them has no room.
    fn take(&mut self, lines: &[LogLine], limits: Limits) -> bool {
        let Some(run) = lines.first().map(|l| &l.job.task_run.run) else { return true };
        let full = |b: &Buffer| b.reader == Reader::Every && b.bytes >= limits.buffer && !b.items.is_empty();
        if self.buffers.values().any(|b| b.wants(run) && full(b)) {
            return false;
        }
        for buffer in self.buffers.values_mut().filter(|b| b.wants(run)) {
            for line in lines {
                buffer.push(Item::Line(line.clone()));
            }
            buffer.shrink(limits);
        }
        true
    }

    fn read(&mut self, number: u64, max: usize) -> (Vec<Item>, bool) {
        let Some(buffer) = self.buffers.get_mut(&number) else { return (Vec::new(), true) };
        (buffer.read(max), self.closed)
    }
}

impl Buffer {
    fn wants(&self, run: &RunId) -> bool {
        self.run.as_ref().is_none_or(|mine| mine == run)
    }

    fn push(&mut self, item: Item) {
        self.bytes += size(&item);
        self.items.push_back(item);
    }

    fn shrink(&mut self, limits: Limits) {
        let bound = match self.reader {
            Reader::Watch => limits.buffer,
            Reader::Every => limits.last_resort,
        };
        while self.bytes > bound {
            let Some(item) = self.items.pop_front() else { break };
            self.bytes -= size(&item);
            match item {
                Item::Event(_) => self.missed_events += 1,
                Item::Line(_) => self.missed_lines += 1,
                Item::Missed { .. } => {}
            }
        }
    }

    fn read(&mut self, max: usize) -> Vec<Item> {
        let mut items = Vec::new();
        if self.missed_events + self.missed_lines > 0 {
            items.push(Item::Missed { events: self.missed_events, lines: self.missed_lines });
            (self.missed_events, self.missed_lines) = (0, 0);
        }
        while items.len() < max {
            let Some(item) = self.items.pop_front() else { break };
            self.bytes -= size(&item);
            items.push(item);
        }
        items
    }
}

/// About what an item takes in memory, in bytes.
fn size(item: &Item) -> usize {
    let text = match item {
        Item::Event(event) => event.error.as_ref().map_or(0, String::len),
        Item::Line(line) => line.text.len(),
        Item::Missed { .. } => 0,
    };
    std::mem::size_of::<Item>() + text
}
