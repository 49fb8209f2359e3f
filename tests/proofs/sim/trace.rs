//! What happened, line by line: replays are compared by it, and a failure prints its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use relay::{
    clock::Clock,
    feed::{Edge, Event, Feed, LogLine, Reader, Subscription, memory::MemoryFeed},
    model::ids::RunId,
};
use tracing::{Level, Subscriber, field::Visit};
use tracing_subscriber::layer::{Context, Layer};

/// The trace of one seed.
#[derive(Clone)]
pub struct Trace {
    clock: Clock,
    start: jiff::Timestamp,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    lines: Vec<String>,
    wrong: Vec<String>,
    errors: Vec<String>,
}

impl Trace {
    pub fn new(clock: Clock) -> Trace {
        Trace { start: clock.now(), clock, told: Arc::default() }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn say(&self, text: String) {
        let ms = self.clock.now().as_millisecond() - self.start.as_millisecond();
        self.told().lines.push(format!("{:>5}.{:03} {text}", ms / 1_000, ms % 1_000));
    }

    /// Something that must never be.
    pub fn wrong(&self, text: String) {
        self.say(format!("WRONG {text}"));
        self.told().wrong.push(text);
    }

    pub fn lines(&self) -> Vec<String> {
        self.told().lines.clone()
    }

    pub fn found(&self) -> Vec<String> {
        self.told().wrong.clone()
    }

    /// Lines that were logged as errors.
    pub fn errors(&self) -> Vec<String> {
        self.told().errors.clone()
    }
}

/// Puts warnings and errors of the program into the trace.
pub struct Listener(pub Trace);

#[derive(Default)]
struct Sentence(String);

impl Visit for Sentence {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl<S: Subscriber> Layer<S> for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut sentence = Sentence::default();
        event.record(&mut sentence);
        let level = *event.metadata().level();
        self.0.say(format!("{level}{}", sentence.0));
        if level == Level::ERROR {
            self.0.told().errors.push(sentence.0);
        }
    }
}

/// A feed that writes every event into the trace.
pub struct TracedFeed {
    pub trace: Trace,
    pub feed: MemoryFeed,
}

#[async_trait]
impl Feed for TracedFeed {
    fn publish(&self, events: Vec<Event>) {
        for event in &events {
            let why = event.reason.map_or("", |r| r.as_str());
            let run = &event.run;
            self.trace.say(match &event.edge {
                Edge::SetAside => format!("{run} set aside"),
                Edge::Run { from, to } => format!("{run} {} -> {to} {why}", from.map_or("", |s| s.as_str())),
                Edge::Task { key, attempt, from, to, .. } => {
                    let item = key.item.map_or(String::new(), |i| format!("[{i}]"));
                    let from = from.map_or("", |s| s.as_str());
                    format!("{run}.{}{item}#{attempt} {from} -> {to} {why}", key.task)
                }
            });
        }
        self.feed.publish(events);
    }

    async fn log(&self, lines: Vec<LogLine>) {
        self.feed.log(lines).await;
    }

    fn subscribe(&self, run: Option<RunId>, reader: Reader) -> Box<dyn Subscription> {
        self.feed.subscribe(run, reader)
    }
}
