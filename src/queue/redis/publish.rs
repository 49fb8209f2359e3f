//! Offering jobs: in batches, each document once. A batch goes out as soon as it is full, so that workers begin with the
//! first one while the others are packed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::model::job::Job;
use crate::queue::{
    QueueError, Unfit,
    redis::{
        conductor::RedisQueue,
        memory::MEMORY,
        name::name_of,
        parcel::{Document, Packer, Parcel},
        scripts::PUBLISH,
        server::{Answer, Call},
    },
};

/// Jobs that one call of a script offers: so few that workers, whose calls wait for it, have some of them soon, ...
const AT_ONCE: usize = 200;
/// ... and bytes of them, unless one alone is larger.
const BYTES_AT_ONCE: usize = 4 << 20;
/// A document of fewer bytes goes with every job that has it: to learn that Redis has forgotten it costs more than to send it.
const ALWAYS: usize = 16 << 10;
/// Documents that are remembered as sent, over all pools.
const SENT_MOST: usize = 10_000;

/// Jobs of one pool that are offered in one step.
struct Batch<'a> {
    pool: Arc<str>,
    jobs: Vec<(&'a Job, Parcel)>,
    /// Of their texts, each shared document once.
    bytes: usize,
    documents: BTreeSet<Arc<str>>,
}

impl<'a> Batch<'a> {
    fn of(pool: Arc<str>) -> Batch<'a> {
        Batch { pool, jobs: Vec::new(), bytes: 0, documents: BTreeSet::new() }
    }

    /// What this one would add to it, in bytes.
    fn more(&self, parcel: &Parcel) -> usize {
        let new = parcel.documents.iter().filter(|document| !self.documents.contains(&document.hash));
        parcel.bytes() + new.map(|document| document.text.len()).sum::<usize>()
    }

    fn takes(&self, parcel: &Parcel) -> bool {
        let fits = self.bytes + self.more(parcel) <= BYTES_AT_ONCE;
        self.jobs.is_empty() || (fits && self.jobs.len() < AT_ONCE)
    }

    fn add(&mut self, job: &'a Job, parcel: Parcel) {
        self.bytes += self.more(&parcel);
        self.documents.extend(parcel.documents.iter().map(|document| document.hash.clone()));
        self.jobs.push((job, parcel));
    }
}

pub(super) async fn publish(queue: &RedisQueue, jobs: &[Job]) -> Result<Vec<Unfit>, QueueError> {
    let mut by_pool: BTreeMap<&str, Batch<'_>> = BTreeMap::new();
    let (mut packer, mut unfit, mut full) = (Packer::default(), Vec::new(), None);
    for job in jobs {
        let parcel = match packed(queue, &mut packer, job) {
            Ok(parcel) => parcel,
            Err(why) => {
                unfit.push(Unfit { job: job.id.clone(), why });
                continue;
            }
        };
        let batch = by_pool.entry(&job.pool).or_insert_with(|| Batch::of(job.pool.as_str().into()));
        if !batch.takes(&parcel) {
            let whole = std::mem::replace(batch, Batch::of(batch.pool.clone()));
            full = send(queue, whole).await?.or(full);
        }
        batch.add(job, parcel);
    }
    for last in by_pool.into_values() {
        full = send(queue, last).await?.or(full);
    }
    full.map_or(Ok(unfit), |what| Err(QueueError::Full(what)))
}

/// What was full, if that is the pool: one that is full keeps no other one from its jobs.
async fn send(queue: &RedisQueue, batch: Batch<'_>) -> Result<Option<&'static str>, QueueError> {
    let Batch { pool, jobs, bytes, .. } = batch;
    queue.server.has_room(jobs.len(), bytes).await?;
    match offer(queue, &pool, &jobs).await {
        Err(QueueError::Full(MEMORY)) => {
            queue.server.no_room();
            Err(QueueError::Full(MEMORY))
        }
        Err(QueueError::Full(what)) => Ok(Some(what)),
        offered => offered.map(|()| None),
    }
}

/// A job as it is stored; why not, if it can never be.
fn packed(queue: &RedisQueue, packer: &mut Packer, job: &Job) -> Result<Parcel, String> {
    let parcel = packer.pack(job).map_err(|error| format!("its job cannot be written down: {error}"))?;
    let bytes = parcel.bytes() + parcel.documents.iter().map(|document| document.text.len()).sum::<usize>();
    let most = queue.limits.job;
    if bytes <= most {
        return Ok(parcel);
    }
    Err(format!(
        "its job is too large for the queue, {bytes} bytes with what it is given of params and upstream outputs, of at most \
         {most}: hand over a reference to large data instead of the data"
    ))
}

async fn offer(queue: &RedisQueue, pool: &Arc<str>, batch: &[(&Job, Parcel)]) -> Result<(), QueueError> {
    let all: Vec<&(&Job, Parcel)> = batch.iter().collect();
    let mut full = false;
    let without = say(queue, pool, &all, false, &mut full).await?;
    if !without.is_empty() {
        let again: Vec<&(&Job, Parcel)> =
            batch.iter().filter(|(job, _)| without.contains(&name_of(&job.id))).collect();
        let still = say(queue, pool, &again, true, &mut full).await?;
        if !still.is_empty() {
            return Err(QueueError::Unavailable("Redis lost a document between two words".to_owned()));
        }
    }
    if full { Err(QueueError::Full("jobs of a pool that nobody has claimed")) } else { Ok(()) }
}

/// Offers the jobs; those of which Redis turned out not to have a document are named. `every`: send all documents.
async fn say(
    queue: &RedisQueue,
    pool: &Arc<str>,
    batch: &[&(&Job, Parcel)],
    every: bool,
    full: &mut bool,
) -> Result<Vec<String>, QueueError> {
    let mut documents: BTreeMap<&str, &Document> = BTreeMap::new();
    for document in batch.iter().flat_map(|(_, parcel)| &parcel.documents) {
        if every || document.text.len() < ALWAYS || !queue.was_sent(pool, document) {
            documents.insert(&document.hash, document);
        }
    }
    let mut call = Call::new(pool, &PUBLISH).arg(queue.limits.pending.to_string());
    call = call.arg(documents.len().to_string());
    for document in documents.values() {
        call = call.arg(document.hash.as_bytes()).arg(&document.text);
    }
    for (job, parcel) in batch {
        call = call.arg(name_of(&job.id)).arg(job.rank.to_string()).arg(parcel.stored());
    }
    let Answer { mut rest, .. } = queue.server.call_one(call).await?;
    *full |= rest.number()? == 1;
    let mut without = Vec::new();
    while rest.left() > 0 {
        without.push(rest.text()?);
    }
    Ok(without)
}

impl RedisQueue {
    /// Was the document sent to this pool before? From now on it was. Redis says so when it has forgotten it since.
    fn was_sent(&self, pool: &Arc<str>, document: &Document) -> bool {
        let mut sent = self.sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if sent.len() >= SENT_MOST {
            sent.clear();
        }
        !sent.insert((pool.clone(), document.hash.clone()))
    }
}
