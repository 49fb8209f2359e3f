//! The conductor's hold on Redis: which incarnation it is in, which pools are open, who is let in.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redis::{Pipeline, Value, cmd};
use tokio::sync::Mutex as AsyncMutex;

use crate::link::{BadSettings, EntryId, Link, LinkError, RedisSettings, Reply, Script, keys, text};
use crate::queue::{
    Epochs, QueueError,
    redis::{access, known::Known, memory::MEMORY, scripts},
    reign::Reign,
};

/// A step is tried so often when Redis lost its books in between.
const ROUNDS: usize = 3;

/// A script to be run on a pool.
pub(super) struct Call {
    pub(super) pool: Arc<str>,
    pub(super) script: &'static Script,
    /// Behind the standing, which always comes first: the incarnation and the epoch of the pool's shard.
    pub(super) arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn new(pool: &Arc<str>, script: &'static Script) -> Call {
        Call { pool: pool.clone(), script, arguments: Vec::new() }
    }

    pub(super) fn arg(mut self, argument: impl AsRef<[u8]>) -> Call {
        self.arguments.push(argument.as_ref().to_vec());
        self
    }
}

/// What a script answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) word: String,
    pub(super) rest: Reply,
}

impl Answer {
    pub(super) fn read(value: Value) -> Result<Answer, LinkError> {
        let mut rest = Reply::list(value)?;
        Ok(Answer { word: rest.text()?, rest })
    }
}

/// The connection of one conductor and what it knows of Redis.
pub(super) struct Server {
    pub(super) settings: RedisSettings,
    pub(super) link: Link,
    /// Which pools this process leads. Of others nothing is opened, read or said.
    pub(super) reign: Reign,
    known: Mutex<Known>,
    /// Held by whoever finds out about a new incarnation.
    reviving: AsyncMutex<()>,
    /// Scripts of workers of another version.
    older: Vec<Script>,
    /// Are the users of workers made here, and not by somebody else?
    pub(super) makes_users: bool,
}

impl Server {
    pub(super) fn new(settings: &RedisSettings, older: Vec<Script>) -> Result<Server, BadSettings> {
        let link = Link::new(settings, std::time::Duration::ZERO)?;
        let (known, reviving, reign) = (Mutex::default(), AsyncMutex::new(()), Reign::default());
        Ok(Server { settings: settings.clone(), link, reign, known, reviving, older, makes_users: true })
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn prefix(&self) -> &str {
        self.settings.prefix()
    }

    /// These shards are led from here, in these epochs. What is asked next opens their pools, and says so in each. Of pools
    /// that are led from here no longer nothing is remembered.
    pub(super) fn lead(&self, epochs: &Epochs) {
        let before = self.reign.all();
        self.reign.set(epochs);
        let mut known = self.known();
        known.open.retain(|pool| self.reign.leads(pool));
        known.opened.retain(|pool, _| self.reign.leads(pool));
        known.admitted.retain(|pool, _| self.reign.leads(pool));
        known.set_aside.retain(|pool| self.reign.leads(pool));
        known.checked = None;
        known.reigns += 1;
        if epochs.keys().any(|shard| !before.contains_key(shard)) {
            // Who works for the pools of these shards was not looked at from here yet.
            (known.present, known.awaited, known.all_told) = (None, None, false);
        }
    }

    fn standing(&self, incarnation: &str, pool: &str) -> Result<String, QueueError> {
        Ok(format!("{incarnation}@{}", self.reign.of(pool)?))
    }

    /// The same, in the books that were opened from here.
    fn standing_in_books(&self, incarnation: &str, pool: &str) -> Result<String, QueueError> {
        let opened = self.known().opened.get(pool).cloned();
        let opened = opened.filter(|opened| opened.split('/').next() == Some(incarnation));
        self.standing(opened.as_deref().unwrap_or(incarnation), pool)
    }

    /// Runs a script on a pool that refuses to be opened.
    pub(super) async fn call_unopened(&self, call: &Call) -> Result<(), QueueError> {
        let mut command = call.script.on(&[&keys::of_pool(self.prefix(), &call.pool)]);
        command.arg(self.standing("", &call.pool)?).arg(&call.arguments);
        self.link.ask(&command).await.map(drop).map_err(QueueError::from)
    }

    /// Runs scripts, all at once, each on its pool; answers come in the same order.
    pub(super) async fn call(&self, calls: &[Call]) -> Result<Vec<Answer>, QueueError> {
        let mut answers: Vec<Option<Answer>> = calls.iter().map(|_| None).collect();
        for _ in 0..ROUNDS {
            let open: Vec<usize> = (0..calls.len()).filter(|n| answers[*n].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let incarnation = self.incarnation().await?;
            let pools: BTreeSet<Arc<str>> = open.iter().map(|n| calls[*n].pool.clone()).collect();
            if !self.open(&incarnation, pools).await? {
                continue;
            }
            let mut commands = Pipeline::with_capacity(open.len());
            for call in open.iter().map(|n| &calls[*n]) {
                let mut command = call.script.on(&[&keys::of_pool(self.prefix(), &call.pool)]);
                command.arg(self.standing_in_books(&incarnation, &call.pool)?).arg(&call.arguments);
                commands.add_command(command);
            }
            for (n, value) in open.into_iter().zip(self.link.ask_all(&commands).await?) {
                answers[n] = self.heard(&calls[n], value)?;
            }
        }
        let answers: Option<Vec<Answer>> = answers.into_iter().collect();
        answers.ok_or_else(|| QueueError::Unavailable("Redis loses its content again and again".to_owned()))
    }

    /// One script on one pool.
    pub(super) async fn call_one(&self, call: Call) -> Result<Answer, QueueError> {
        let mut answers = self.call(&[call]).await?;
        answers.pop().ok_or_else(|| QueueError::from(LinkError::Unexpected("no answer")))
    }

    /// An answer, or none when the step was not done because the books are of another life.
    fn heard(&self, call: &Call, value: Result<Value, LinkError>) -> Result<Option<Answer>, QueueError> {
        let answer = match value {
            Ok(value) => Answer::read(value)?,
            Err(LinkError::NoScript) => {
                self.known().checked = None;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        match answer.word.as_str() {
            "deposed" => Err(deposed(&call.pool, answer)),
            "lost" | "stale" => {
                let mut known = self.known();
                known.checked = None;
                known.open.remove(&call.pool);
                Ok(None)
            }
            "broken" => {
                let script = call.script.name();
                tracing::warn!(pool = %call.pool, script, "A key in Redis has a wrong type; it is cleared and filled again");
                self.known().open.remove(&call.pool);
                Ok(None)
            }
            _ => Ok(Some(answer)),
        }
    }

    /// The incarnation, asked for anew on each new connection.
    pub(super) async fn incarnation(&self) -> Result<Arc<str>, QueueError> {
        let number = self.link.number().await?;
        if let Some(incarnation) = self.checked(number) {
            return Ok(incarnation);
        }
        let _one = self.reviving.lock().await;
        match self.checked(number) {
            Some(incarnation) => Ok(incarnation),
            None => self.revive(number).await,
        }
    }

    fn checked(&self, number: u64) -> Option<Arc<str>> {
        let known = self.known();
        known.incarnation.clone().filter(|_| known.checked == Some(number))
    }

    /// Finds out in which life Redis is, and makes everything that a new one needs. Workers can run no script before the
    /// books are cleared of what an older life left in them: scripts are loaded last, and a server forgets them when it
    /// restarts.
    async fn revive(&self, number: u64) -> Result<Arc<str>, QueueError> {
        let server = access::look_at_server(&self.link).await?;
        self.load(&[&scripts::INCARNATE, &scripts::OPEN, &scripts::SHUT, &scripts::OVERRULE]).await?;
        let (mut above, mut born) = (String::new(), false);
        let former = self.former(&server.run_id).await?;
        for _ in 0..ROUNDS {
            let reigns = self.known().reigns;
            let (incarnation, new) = self.incarnate(&server.run_id, &above, &former).await?;
            born |= new;
            let seen = self.newest_change().await?;
            let pools = self.pools().await?;
            if let Some(newer) = self.open_all(&incarnation, &pools).await? {
                above = newer;
                continue;
            }
            self.shut_others(&incarnation).await?;
            self.load(&scripts::of_a_pool()).await?;
            self.load(&self.older.iter().collect::<Vec<_>>()).await?;
            if self.makes_users {
                let admitted = self.known().admitted.clone();
                access::admit(&self.link, self.prefix(), &admitted).await?;
            }
            let announcing = self.link.ask(cmd("EXISTS").arg(keys::announcing(self.prefix()))).await?;
            self.forget_former().await?;
            if !self.entered((number, reigns), &incarnation, pools, seen) {
                continue;
            }
            let mut known = self.known();
            known.announcing = matches!(announcing, Value::Int(1)) && !known.all_told;
            drop(known);
            if born {
                tracing::warn!(incarnation = %incarnation, "Redis began anew: workers tell what they hold, and the rest is published again");
            }
            return Ok(incarnation);
        }
        Err(LinkError::Unexpected("other conductors begin new incarnations again and again").into())
    }

    /// Remembers that; false when other shards are led since, and so other pools.
    fn entered(
        &self,
        (number, reigns): (u64, u64),
        incarnation: &Arc<str>,
        pools: BTreeSet<Arc<str>>,
        seen: EntryId,
    ) -> bool {
        let mut known = self.known();
        if known.reigns != reigns {
            return false;
        }
        if known.incarnation.as_ref().is_some_and(|old| old != incarnation) {
            known.begin_life();
        }
        known.incarnation = Some(incarnation.clone());
        known.checked = Some(number);
        known.open = pools;
        known.pools_seen = seen;
        true
    }

    async fn load(&self, scripts: &[&Script]) -> Result<(), LinkError> {
        let mut commands = Pipeline::with_capacity(scripts.len());
        for script in scripts {
            commands.add_command(script.load());
        }
        self.link.ask_all(&commands).await?.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }

    /// Pools that Redis knows.
    async fn all_pools(&self) -> Result<BTreeSet<Arc<str>>, LinkError> {
        let mut members = Reply::list(self.link.ask(cmd("SMEMBERS").arg(keys::pools(self.prefix()))).await?)?;
        let mut pools = BTreeSet::new();
        while members.left() > 0 {
            pools.insert(members.text()?.into());
        }
        Ok(pools)
    }

    /// Scripts are about to be loaded, and pools that others lead may have books of an older life: nobody works in them until
    /// they are opened, too.
    async fn shut_others(&self, incarnation: &str) -> Result<(), LinkError> {
        let mut commands = Pipeline::new();
        for pool in self.all_pools().await?.iter().filter(|pool| !self.reign.leads(pool)) {
            let mut shut = scripts::SHUT.on(&[&keys::of_pool(self.prefix(), pool)]);
            shut.arg(incarnation);
            commands.add_command(shut);
        }
        self.link.ask_all(&commands).await?.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }

    /// Those, and the ones that this process knows, as far as they are led from here.
    async fn pools(&self) -> Result<BTreeSet<Arc<str>>, LinkError> {
        let mut pools = self.all_pools().await?;
        let known = self.known();
        pools.extend(known.open.iter().chain(known.admitted.keys()).cloned());
        pools.retain(|pool| self.reign.leads(pool));
        Ok(pools)
    }

    /// Looks whether other processes opened pools, and opens them here.
    pub(super) async fn look_for_pools(&self, seen: EntryId) -> Result<(), QueueError> {
        let incarnation = self.incarnation().await?;
        let pools = self.pools().await?;
        if !self.open(&incarnation, pools).await? {
            return Ok(());
        }
        let mut known = self.known();
        known.pools_seen = known.pools_seen.max(seen);
        Ok(())
    }

    /// Opens pools that are not open yet; false when this is not the incarnation any more.
    async fn open(&self, incarnation: &str, pools: BTreeSet<Arc<str>>) -> Result<bool, QueueError> {
        let new: BTreeSet<Arc<str>> = pools.difference(&self.known().open).cloned().collect();
        if new.is_empty() {
            return Ok(true);
        }
        if self.open_all(incarnation, &new).await?.is_some() {
            // What is asked next hears of the one of now.
            self.known().checked = None;
            return Ok(false);
        }
        self.known().open.extend(new);
        Ok(true)
    }

    /// Brings pools into the incarnation; a newer one that a pool is in already, or this one when Redis knows it no longer: it was
    /// emptied since it was asked for, and what was opened is of no life in which workers tell what they hold.
    async fn open_all(
        &self,
        incarnation: &str,
        pools: &BTreeSet<Arc<str>>,
    ) -> Result<Option<String>, QueueError> {
        let prefix = self.prefix();
        let mut commands = Pipeline::with_capacity(2 * pools.len() + 1);
        for pool in pools {
            commands.cmd("SADD").arg(keys::pools(prefix)).arg(pool.as_ref());
            let mut open = scripts::OPEN.on(&[&keys::of_pool(prefix, pool)]);
            open.arg(self.standing(incarnation, pool)?);
            commands.add_command(open);
        }
        // Asked after they are open: what empties Redis later takes them along.
        commands.cmd("HGET").arg(keys::incarnation(prefix)).arg("id");
        let (mut added, mut newer) = (false, None);
        let mut answers = self.link.ask_all(&commands).await?.into_iter();
        for pool in pools {
            let (Some(joined), Some(opened)) = (answers.next(), answers.next()) else { break };
            added |= matches!(joined?, Value::Int(1));
            let mut answer = Answer::read(opened?)?;
            match answer.word.as_str() {
                "newer" => newer = newer.max(Some(answer.rest.text()?)),
                "deposed" => return Err(deposed(pool, answer)),
                _ => drop(self.known().opened.insert(pool.clone(), answer.rest.text()?.into())),
            }
        }
        if added {
            let mut told = cmd("XADD");
            told.arg(keys::pools_changed(prefix)).arg("MAXLEN").arg(10).arg("*").arg("p").arg("1");
            self.link.ask(&told).await?;
        }
        let same = answers.next().and_then(|id| id.and_then(text).ok()).is_some_and(|id| id == incarnation);
        Ok(newer.max((!same).then(|| incarnation.to_owned())))
    }
}

fn deposed(pool: &str, mut answer: Answer) -> QueueError {
    let epoch = answer.rest.text().ok().and_then(|epoch| epoch.parse().ok());
    QueueError::Deposed { pool: pool.to_owned(), epoch: epoch.unwrap_or(i64::MAX) }
}

impl From<LinkError> for QueueError {
    fn from(error: LinkError) -> QueueError {
        match error {
            LinkError::OutOfMemory => QueueError::Full(MEMORY),
            error => QueueError::Unavailable(error.to_string()),
        }
    }
}
