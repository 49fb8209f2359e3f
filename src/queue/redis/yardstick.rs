//! What this Redis can do for a client that knows nothing of Relay: the measure beside which `relay bench` puts its figures.

use std::time::Duration;

use redis::{Cmd, Value, cmd};

use crate::link::{BadSettings, Link, LinkError, RedisSettings, Reply, keys};
use crate::queue::QueueError;

/// A reader waits so long, in seconds, before it asks anew.
const BLOCK: u64 = 5;
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

    /// Removes every key under the prefix, and the users of these pools.
    pub async fn forget(&self, pools: &[&str]) -> Result<(), QueueError> {
        for pool in pools {
            self.here.ask(cmd("ACL").arg("DELUSER").arg(keys::user(&self.prefix, pool))).await?;
        }
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(format!("{}:*", self.prefix)).arg("COUNT").arg(PAGE);
            let mut page = Reply::list(self.here.ask(&scan).await?)?;
            cursor = page.text()?;
            let keys = page.texts()?;
            for some in keys.chunks(PAGE) {
                self.here.ask(cmd("UNLINK").arg(some)).await?;
            }
            if cursor == "0" {
                return Ok(());
            }
        }
    }
}
