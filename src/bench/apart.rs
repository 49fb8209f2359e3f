//! The bench's side of a conductor in a process of its own: what is asked of it, and what the machine says of it.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::bench::{
    BenchError, Params,
    conducting::LONGEST,
    crew,
    orders::{Answer, Order},
};
use crate::link::RedisSettings;
use crate::model::ids::ShardId;

/// The kernel counts processor time in hundredths of a second for whoever reads it, on every machine that Relay runs on.
const TICK: f64 = 0.01;

/// How the chart has the operator's allocator give back what was large, a variable of the C library (mallopt(3)): without it
/// the bounds of what is large and of what is kept grow with the largest piece that was ever let go.
pub const GIVES_BACK: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// The process.
pub struct Apart {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// Where it works: one of so many, in this database, under this prefix.
pub struct Where<'a> {
    pub database_url: &'a str,
    pub redis: &'a RedisSettings,
    pub number: u8,
    pub of: u8,
}

fn machine(what: &'static str) -> impl Fn(std::io::Error) -> BenchError {
    move |why| BenchError::Machine { what, why }
}

impl Apart {
    /// Starts it, and waits until it leads; the live runs that it found.
    pub async fn start(params: &Params, place: Where<'_>) -> Result<(Apart, usize), BenchError> {
        let of = place.of.clamp(1, ShardId::COUNT);
        let each = ShardId::COUNT / of;
        let first = place.number * each;
        // The last one leads what is left over too.
        let shards = if place.number + 1 == of { ShardId::COUNT - first } else { each };
        let mut command = Command::new(&params.program);
        command
            .args(["bench-conductor", "--redis-prefix", place.redis.prefix()])
            .args(["--holder", &format!("bench-{}", place.number)])
            .args(["--first", &first.to_string(), "--shards", &shards.to_string()])
            .env("RELAY_DATABASE_URL", place.database_url)
            .env("RELAY_REDIS_URL", &params.redis_url)
            .env("RELAY_LOG", "error")
            .env(GIVES_BACK.0, GIVES_BACK.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(machine("starting a conductor"))?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::Wrong("a conductor has no pipes".to_owned()));
        };
        let mut apart = Apart { child, orders, answers: BufReader::new(answers).lines() };
        let live = apart.hear().await?.live;
        Ok((apart, live))
    }

    /// What it answers once it is done.
    pub async fn ask(&mut self, order: &Order) -> Result<Answer, BenchError> {
        self.tell(order).await?;
        self.hear().await
    }

    /// Says it, and does not wait.
    pub async fn tell(&mut self, order: &Order) -> Result<(), BenchError> {
        let mut line = serde_json::to_vec(order).map_err(|e| machine("an order")(e.into()))?;
        line.push(b'\n');
        self.orders.write_all(&line).await.map_err(machine("telling a conductor"))
    }

    /// The next answer.
    pub async fn hear(&mut self) -> Result<Answer, BenchError> {
        let line = tokio::time::timeout(LONGEST, self.answers.next_line()).await;
        let late =
            |_| BenchError::Wrong(format!("a conductor did not answer within {} s", LONGEST.as_secs()));
        let line = line.map_err(late)?.map_err(machine("hearing a conductor"))?;
        // Why is on standard error, which is this process's too.
        let gone = || BenchError::Wrong("a conductor has ended".to_owned());
        let answer: Answer =
            serde_json::from_str(&line.ok_or_else(gone)?).map_err(|e| machine("an answer")(e.into()))?;
        match answer.failed {
            Some(why) => Err(BenchError::Wrong(why)),
            None => Ok(answer),
        }
    }

    /// Lets it end in order.
    pub async fn end(self) -> Result<(), BenchError> {
        let Apart { mut child, orders, answers } = self;
        drop(orders);
        let ended = crew::end(&mut child).await;
        drop(answers);
        ended.map_err(machine("ending a conductor"))
    }

    /// Its memory, in bytes.
    pub fn resident(&self) -> Result<f64, BenchError> {
        let status = self.look("status")?;
        let kilobytes =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let bytes =
            kilobytes.and_then(|text| text.trim().parse::<f64>().ok()).map(|kilobytes| kilobytes * 1024.0);
        bytes.ok_or_else(|| BenchError::Wrong("the kernel tells no resident memory".to_owned()))
    }

    /// The processor time that it has taken, of all its threads.
    pub fn worked(&self) -> Result<Duration, BenchError> {
        let stat = self.look("stat")?;
        // Its name may hold anything, and ends with the last parenthesis; user and system time are the 14th and 15th word.
        let words: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| words.get(place).and_then(|word| word.parse::<f64>().ok());
        match (ticks(11), ticks(12)) {
            (Some(user), Some(system)) => Ok(Duration::from_secs_f64((user + system) * TICK)),
            _ => Err(BenchError::Wrong("the kernel tells no processor time".to_owned())),
        }
    }

    fn look(&self, file: &str) -> Result<String, BenchError> {
        let pid = self.child.id().ok_or_else(|| BenchError::Wrong("a conductor has ended".to_owned()))?;
        std::fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(machine("looking at a conductor"))
    }
}
