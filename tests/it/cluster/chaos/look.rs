//! What the house tells of itself: from Postgres, Redis, the API server, its operators and its logs.

use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::house::{House, Operator};
use super::ledger::{Who, worker_that_began};

/// What the test's own sessions in Postgres are known by.
pub const OWN: &str = "?application_name=chaos";

/// Tasks of the load that have not ended.
const OPEN: &str = "select r.name, t.task_id, coalesce(t.item_index::text, '-') from task_runs t join runs r on r.id = t.run_id \
    where r.namespace = 'chaos' and r.status in ('QUEUED', 'RUNNING') \
    and t.status in ('PENDING', 'READY', 'QUEUED', 'RUNNING', 'RETRYING') and not (t.task_id = 'each' and t.item_index is null)";

impl House {
    /// Asks Postgres. It may be away.
    pub fn ask(&self, question: &str) -> sqlx::Result<Vec<PgRow>> {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.postgres.url(OWN)).await?;
            let rows = sqlx::query(AssertSqlSafe(question.to_owned())).fetch_all(&mut connection).await?;
            connection.close().await?;
            Ok(rows)
        })
    }

    /// Asks Postgres for a number; none when it is away.
    pub fn number(&self, question: &str) -> Option<i64> {
        let rows = self.ask(question).ok()?;
        Some(rows.first()?.get(0))
    }

    /// How many transitions were committed.
    pub fn position(&self) -> Option<i64> {
        self.number("select sum(seq)::bigint from shards")
    }

    /// Tasks of the load that have not ended; none when Postgres is away.
    pub fn open_tasks(&self) -> BTreeSet<Who> {
        let rows = self.ask(OPEN).unwrap_or_default();
        let who = |row: &PgRow| (row.get(0), row.get(1), row.get(2));
        rows.iter().map(who).collect()
    }

    /// Ends every session in Postgres but the test's own.
    pub fn end_sessions(&self) {
        let all = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
            where backend_type = 'client backend' and application_name <> 'chaos'";
        self.ask(all).expect("Postgres is well");
    }

    /// Ends every session but the test's own and takes all that can be had.
    pub fn take_connections(&self) -> Vec<PgConnection> {
        self.end_sessions();
        let url = self.postgres.url(OWN);
        self.runtime.block_on(async {
            let mut taken = Vec::new();
            while let Ok(connection) = PgConnection::connect(&url).await {
                taken.push(connection);
            }
            taken
        })
    }

    /// Says something to Redis, as an administrator.
    pub fn say(&self, words: &[&str]) -> redis::Value {
        self.runtime.block_on(self.redis.say(words))
    }

    /// The same; it may be away.
    pub fn try_say(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        self.runtime.block_on(self.redis.try_say(words))
    }

    /// How long the ledger is.
    pub fn ledger_length(&self) -> u64 {
        std::fs::metadata(self.ledger()).expect("the ledger").len()
    }

    /// The workers of which tasks began since the ledger had this length.
    pub fn began_since(&self, length: u64) -> BTreeSet<String> {
        let mut ledger = std::fs::File::open(self.ledger()).expect("the ledger");
        ledger.seek(SeekFrom::Start(length)).expect("it is longer");
        let mut text = String::new();
        ledger.read_to_string(&mut text).expect("a text");
        text.lines().filter_map(worker_that_began).collect()
    }

    /// Where tasks write what they do.
    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// A count that Redis tells of a key of the pool; none when it is away.
    pub fn count(&self, command: &str, key: &str) -> Option<i64> {
        let key = format!("relay:{{{}}}:{key}", self.pool());
        match self.try_say(&[command, &key]) {
            Ok(redis::Value::Int(count)) => Some(count),
            _ => None,
        }
    }

    /// All Runs as objects; none when the API server is away.
    pub fn runs(&self) -> Option<Vec<Value>> {
        let mut get = self.control.kubectl();
        let output = get.args(["-n", &self.namespace, "get", "runs", "-o", "json"]).output();
        let output = output.expect("kubectl starts");
        let list: Value = serde_json::from_slice(&output.stdout).ok()?;
        list["items"].as_array().cloned()
    }

    /// Which of the operators leads; none when none says so, or both do.
    pub fn leader(&self) -> Option<usize> {
        let leads = |operator: &Operator| health(operator.api).is_some_and(|why| why.contains("it leads"));
        let leading: Vec<usize> = (0..self.operators.len()).filter(|n| leads(&self.operators[*n])).collect();
        if let [one] = leading[..] { Some(one) } else { None }
    }

    /// Does an operator say this of itself?
    pub fn says(&self, words: &str) -> bool {
        self.operators.iter().any(|operator| health(operator.api).is_some_and(|told| told.contains(words)))
    }

    /// Which of the operators stands by.
    pub fn stands_by(&self) -> Option<usize> {
        let waits =
            |n: &usize| health(self.operators[*n].api).is_some_and(|why| why.contains("it stands by"));
        (0..self.operators.len()).find(waits)
    }

    /// Keeps logs and ledger beside what is built, if that is wanted, and tells where.
    pub fn kept(&self) -> String {
        if self.means.is_none() {
            return String::new();
        }
        let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chaos");
        drop(std::fs::remove_dir_all(&place));
        std::fs::create_dir_all(&place).expect("a folder");
        for path in self.logs.iter().chain([&self.ledger()]) {
            std::fs::copy(path, place.join(path.file_name().expect("a file"))).expect("copied");
        }
        format!("logs and ledger are in {}", place.display())
    }

    /// The end of each log, for whoever has to find out.
    pub fn told(&self) -> String {
        let last = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("== {}\n{}\n", path.display(), lines[lines.len().saturating_sub(15)..].join("\n"))
        };
        self.logs.iter().map(last).collect()
    }
}

/// What an operator tells of itself; none when it does not answer.
fn health(port: u16) -> Option<String> {
    let wait = Duration::from_millis(500);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), wait).ok()?;
    stream.set_read_timeout(Some(wait)).ok()?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
