//! What this Redis can do for a client that knows nothing of Relay: the measure beside which `relay bench` puts its figures.

use std::time::Duration;

use redis::{Cmd, Value, cmd};

use crate::link::{BadSettings, Link, LinkError, RedisSettings, Reply};
use crate::queue::QueueError;

/// A reader waits so long, in seconds, before it asks anew.
const BLOCK: u64 = 5;
/// All that is under a prefix goes at one moment, as a server that lost its memory would show it. KEYS looks at every key there
/// is: only who measures may ask so.
const LOSE: &str = "local found = redis.call('KEYS', ARGV[1])
for first = 1, #found, 1000 do redis.call('UNLINK', unpack(found, first, math.min(first + 999, #found))) end
return #found";
/// Keys that are looked at, and removed, at a time.
const PAGE: usize = 1_000;

/// A bare client, and one at the other end.
pub struct Bare {
    here: Link,
    ear: Link,
    there: Link,
    far_ear: Link,
    prefix: String,
}

impl Bare {
    /// Nothing is reached yet.
    pub fn new(settings: &RedisSettings) -> Result<Bare, BadSettings> {
        let block = Duration::from_secs(BLOCK);
        let link = |block| Link::new(settings, block);
        let (here, there) = (link(Duration::ZERO)?, link(Duration::ZERO)?);
        let (ear, far_ear) = (link(block)?, link(block)?);
        Ok(Bare { here, ear, there, far_ear, prefix: settings.prefix().to_owned() })
    }

    fn key(&self, name: &str) -> String {
        format!("{}:yardstick:{name}", self.prefix)
    }

    fn push(&self, name: &str) -> Cmd {
        let mut push = cmd("RPUSH");
        push.arg(self.key(name)).arg("1");
        push
    }

    fn pop(&self, name: &str) -> Cmd {
        let mut pop = cmd("BLPOP");
        pop.arg(self.key(name)).arg(BLOCK);
        pop
    }

    /// A word, and its answer.
    pub async fn ping(&self) -> Result<(), QueueError> {
        Ok(self.here.ask(&cmd("PING")).await.map(drop)?)
    }

    /// A word to a reader that waits for it, and one back to here, where it is waited for.
    pub async fn there_and_back(&self) -> Result<(), QueueError> {
        self.here.ask(&self.push("there")).await?;
        match self.ear.ask(&self.pop("back")).await? {
            Value::Nil => Err(QueueError::Unavailable("nothing came back".to_owned())),
            _ => Ok(()),
        }
    }

    /// The other end, for ever.
    pub async fn echo(&self) -> QueueError {
        loop {
            let answered = async {
                if self.far_ear.ask(&self.pop("there")).await? != Value::Nil {
                    self.there.ask(&self.push("back")).await?;
                }
                Ok::<(), LinkError>(())
            };
            if let Err(error) = answered.await {
                return error.into();
            }
        }
    }

    /// Removes every key under the prefix at one moment; how many there were.
    pub async fn lose(&self) -> Result<i64, QueueError> {
        let mut lose = cmd("EVAL");
        lose.arg(LOSE).arg(0).arg(format!("{}:*", self.prefix));
        Ok(Reply::list(Value::Array(vec![self.here.ask(&lose).await?]))?.number()?)
    }

    /// What everything under the prefix takes of Redis' memory.
    pub async fn bytes(&self) -> Result<i64, QueueError> {
        let mut all = 0;
        for key in self.keys(":*").await? {
            // A key may have gone since it was seen.
            if let Value::Int(bytes) =
                self.here.ask(cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0)).await?
            {
                all += bytes;
            }
        }
        Ok(all)
    }

    /// What so many names of this length take as members of a sorted set, and nothing else.
    pub async fn bytes_of_names(&self, names: usize, length: usize) -> Result<i64, QueueError> {
        let (key, before) = (self.key("names"), self.bytes().await?);
        for number in 0..names {
            self.here.ask(cmd("ZADD").arg(&key).arg(number).arg(format!("{number:0length$}"))).await?;
        }
        let after = self.bytes().await?;
        self.here.ask(cmd("UNLINK").arg(&key)).await?;
        Ok(after - before)
    }

    /// The keys that are the prefix, and then this.
    async fn keys(&self, then: &str) -> Result<Vec<String>, QueueError> {
        let (mut cursor, mut all) = ("0".to_owned(), Vec::new());
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(format!("{}{then}", self.prefix)).arg("COUNT").arg(PAGE);
            let mut page = Reply::list(self.here.ask(&scan).await?)?;
            cursor = page.text()?;
            all.extend(page.texts()?);
            if cursor == "0" {
                // A scan may show a key twice.
                all.sort_unstable();
                all.dedup();
                return Ok(all);
            }
        }
    }

    /// Removes every key and every user whose name begins with the prefix.
    pub async fn forget(&self) -> Result<(), QueueError> {
        let mut users = Reply::list(self.here.ask(cmd("ACL").arg("USERS")).await?)?;
        while users.left() > 0 {
            let user = users.text()?;
            if user.starts_with(&self.prefix) {
                self.here.ask(cmd("ACL").arg("DELUSER").arg(&user)).await?;
            }
        }
        for some in self.keys("*").await?.chunks(PAGE) {
            self.here.ask(cmd("UNLINK").arg(some)).await?;
        }
        Ok(())
    }
}
