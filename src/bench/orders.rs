//! A conductor in a process of its own: it is told what to do by lines of JSON on its standard input, and answers each by one.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin};

use crate::bench::{
    BenchError,
    conducting::{Conducting, Post},
    shapes::{FIRST, Maker, Shape},
};
use crate::clock::Clock;
use crate::conductor::Compile;
use crate::link::RedisSettings;
use crate::model::ids::{RunId, ShardId};
use crate::queue::Roster as _;

/// Runs that may be approved after a start.
pub const APPROVED: usize = 100;

/// What such a process is started with.
pub struct Part {
    /// The bench's database.
    pub database_url: String,
    /// Where Redis is.
    pub redis_url: String,
    /// The bench's prefix there.
    pub redis_prefix: String,
    /// Who leads.
    pub holder: String,
    /// From this shard on,
    pub first: u8,
    /// so many.
    pub shards: u8,
}

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Workers of a pool may come.
    Admit { pool: String, password: String, slots: usize },
    /// And no longer.
    Dismiss { pool: String },
    /// Wait until so many workers are there.
    Present(usize),
    /// Wait until workers hold so many jobs.
    Held(usize),
    /// Make runs in these namespaces, at once, and wait for their ends.
    Play { shape: Shape, runs: usize, namespaces: Vec<String> },
    /// Make runs, some at a time, and wait until they are there.
    Load { shape: Shape, runs: usize, namespace: String },
    /// Wait until so many transitions were committed since the last `Play` or `Load`.
    Transitions(u64),
    /// Wait for the ends of so many runs since then.
    Ends(usize),
    /// Approve so many of the runs that were live at its start, and wait for their ends.
    Approve(usize),
    /// Cancel what was loaded last, and wait for its end.
    Cancel,
}

/// What it answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// Live runs when it began to lead; said once, before anything was asked.
    pub live: usize,
    /// From the first acceptance to the last end, in seconds, of a `Play`.
    pub lasted: f64,
    /// Attempts that were made again since the last `Play` or `Load`.
    pub retried: u64,
    /// It could not be done, and why; the process ends.
    pub failed: Option<String>,
}

fn pipe(why: io::Error) -> BenchError {
    BenchError::Machine { what: "the pipe between the bench and its conductor", why }
}

/// Leads, and does what it is told until nobody tells it any more.
///
/// What goes wrong is told by the bench, which hears it as the answer.
pub async fn conduct(part: Part, clock: Clock, compile: Compile) -> Result<(), BenchError> {
    match serve(part, clock, compile).await {
        Ok(()) => Ok(()),
        Err(error) => {
            let mut failed = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                failed = format!("{failed}: {error}");
                cause = error.source();
            }
            answer(&Answer { failed: Some(failed), ..Answer::default() }).await
        }
    }
}

async fn serve(part: Part, clock: Clock, compile: Compile) -> Result<(), BenchError> {
    let first = part.first;
    let post = Post {
        database_url: part.database_url,
        redis: RedisSettings::new(&part.redis_url)?.with_prefix(&part.redis_prefix)?,
        holder: part.holder,
        shards: (first..first.saturating_add(part.shards)).filter_map(ShardId::new).collect(),
        keeps_ends: false,
    };
    let (mut conducting, mut live) = Conducting::open(post, &clock, &compile).await?;
    answer(&Answer { live: live.len(), ..Answer::default() }).await?;
    // The ids of all would be memory that is not the conductor's.
    live.truncate(APPROVED);
    live.shrink_to_fit();
    let mut told =
        Told { lines: BufReader::new(tokio::io::stdin()).lines(), adopted: live, loaded: Vec::new() };
    while let Some(order) = told.next().await? {
        answer(&told.follow(&mut conducting, order).await?).await?;
    }
    conducting.close().await
}

async fn answer(answer: &Answer) -> Result<(), BenchError> {
    let mut line = serde_json::to_vec(answer).map_err(|e| pipe(e.into()))?;
    line.push(b'\n');
    let mut out = tokio::io::stdout();
    out.write_all(&line).await.map_err(pipe)?;
    out.flush().await.map_err(pipe)
}

/// What was said so far.
struct Told {
    lines: Lines<BufReader<Stdin>>,
    /// Runs that were live at the start and nobody approved yet.
    adopted: Vec<RunId>,
    /// The first runs of the last `Load`.
    loaded: Vec<RunId>,
}

impl Told {
    async fn next(&mut self) -> Result<Option<Order>, BenchError> {
        let Some(line) = self.lines.next_line().await.map_err(pipe)? else { return Ok(None) };
        serde_json::from_str(&line).map(Some).map_err(|e| pipe(e.into()))
    }

    async fn follow(&mut self, conducting: &mut Conducting, order: Order) -> Result<Answer, BenchError> {
        let mut answer = Answer::default();
        match order {
            Order::Admit { pool, password, slots } => conducting.admit(&pool, &password, slots).await?,
            Order::Dismiss { pool } => conducting.queue.dismiss(&pool).await?,
            Order::Present(workers) => conducting.books(|books| books.present.len() >= workers).await?,
            Order::Held(jobs) => {
                conducting.books(|books| books.leases.len() >= jobs && !books.announcing).await?;
            }
            Order::Play { shape, runs, namespaces } => {
                let makers = namespaces.iter().map(|namespace| Maker::of(namespace, shape));
                let makers = makers.collect::<Result<Vec<_>, _>>()?;
                answer.lasted = conducting.play(&makers, runs).await?.lasted().as_secs_f64();
            }
            Order::Load { shape, runs, namespace } => {
                self.load(conducting, (shape, runs), &namespace).await?
            }
            Order::Transitions(wanted) => conducting.meter.transitions(wanted).await,
            Order::Ends(runs) => drop(conducting.ends(runs).await?),
            Order::Approve(runs) => {
                let first = self.adopted.len().saturating_sub(runs);
                let approved = self.adopted.split_off(first);
                conducting.approve(&approved, FIRST).await?;
            }
            Order::Cancel => conducting.cancel(&std::mem::take(&mut self.loaded)).await?,
        }
        answer.retried = conducting.meter.counts().1;
        Ok(answer)
    }

    async fn load(
        &mut self,
        conducting: &Conducting,
        (shape, runs): (Shape, usize),
        namespace: &str,
    ) -> Result<(), BenchError> {
        let maker = Maker::of(namespace, shape)?;
        conducting.meter.begin();
        self.loaded = conducting.submit(std::slice::from_ref(&maker), runs, false).await?.named;
        Ok(())
    }
}
