//! Jobs as they lie in Redis: what many jobs share is stored once.
//!
//! A job is `<hashes of what it shares>\n<what is its own>`, under its id, and its rank is its score. All jobs of a task of a
//! revision share how the task reads; items of a forEach share what they are given, and so does whoever is given much. All of it
//! is JSON to which versions only add fields, with a default that says what there was before.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::{
    job::{Job, Program},
    json::Text,
    task::OutputDecl,
};
use crate::queue::redis::name::{DIGITS, job_of};

/// What a job is given is stored apart when it has so many bytes, and documents of this size are kept by workers.
const APART: usize = 1 << 10;
/// Between hashes.
const AND: char = ',';

/// A job and what it shares, as they are stored.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    /// What is the job's own.
    pub(super) body: Vec<u8>,
    /// The rest.
    pub(super) documents: Vec<Document>,
}

/// A document by its content.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// Of its digest, as text.
    pub(super) hash: Arc<str>,
    /// JSON.
    pub(super) text: Arc<[u8]>,
}

impl Document {
    fn of(text: Vec<u8>) -> Document {
        Document { hash: hash(&text), text: text.into() }
    }
}

impl Parcel {
    /// What travels for this job alone, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// As it is stored: the hashes of what it shares, as the scripts read them, and its own.
    pub(super) fn stored(&self) -> Vec<u8> {
        let hashes: Vec<&str> = self.documents.iter().map(|document| document.hash.as_ref()).collect();
        let mut stored = hashes.join(&AND.to_string()).into_bytes();
        stored.push(b'\n');
        stored.extend_from_slice(&self.body);
        stored
    }
}

/// How a task of a revision reads: nothing of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shared {
    version: u16,
    pool: String,
    task_name: String,
    /// Unless it is an argv, which is made for each run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program: Option<Program>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<OutputDecl>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    at_most_once: bool,
}

impl Shared {
    fn of(job: &Job) -> Shared {
        let own = matches!(job.program, Program::Command(_));
        Shared {
            version: job.version,
            pool: job.pool.clone(),
            task_name: job.task_name.clone(),
            program: (!own).then(|| job.program.clone()),
            timeout: job.timeout,
            outputs: job.outputs.clone(),
            at_most_once: job.at_most_once,
        }
    }
}

/// What jobs of a task of a run are given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Given {
    #[serde(rename = "r")]
    run_name: String,
    #[serde(rename = "g")]
    input: Text,
}

/// What a document says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Common {
    #[serde(rename = "t")]
    Task(Shared),
    #[serde(rename = "g")]
    Given(Given),
}

/// What is one job's own, in short names, for there are many.
#[derive(Default, Serialize, Deserialize)]
struct Own {
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    env: Vec<(String, String)>,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    item: Option<Value>,
    /// None when it is a document.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    given: Option<Given>,
}

/// Packs jobs. Those that share something share the work of writing it.
#[derive(Default)]
pub(super) struct Packer {
    /// With its size, and as a document if it was needed as one.
    given: Option<(Given, usize, Option<Document>)>,
    shared: Option<(Shared, Document)>,
}

impl Packer {
    /// A job as it is stored; an error is the serializer's.
    pub(super) fn pack(&mut self, job: &Job) -> serde_json::Result<Parcel> {
        let mut documents = vec![self.shared(job)?];
        let given = match self.given(job)? {
            Ok(document) => {
                documents.push(document);
                None
            }
            Err(given) => Some(given),
        };
        let command = match &job.program {
            Program::Command(argv) => Some(argv.clone()),
            Program::Script(_) | Program::Noop => None,
        };
        let own = Own { command, env: job.env.clone(), item: job.item.clone(), given };
        Ok(Parcel { body: serde_json::to_vec(&own)?, documents })
    }

    fn shared(&mut self, job: &Job) -> serde_json::Result<Document> {
        let shared = Shared::of(job);
        match &self.shared {
            Some((last, document)) if *last == shared => Ok(document.clone()),
            _ => {
                let document = Document::of(serde_json::to_vec(&Common::Task(shared.clone()))?);
                self.shared = Some((shared, document.clone()));
                Ok(document)
            }
        }
    }

    /// What it is given as a document, where others share it or it is large; or as it is.
    fn given(&mut self, job: &Job) -> serde_json::Result<Result<Document, Given>> {
        let same = |(given, ..): &(Given, usize, Option<Document>)| {
            given.run_name == job.run_name && given.input == job.input
        };
        if !self.given.as_ref().is_some_and(same) {
            let given = Given { run_name: job.run_name.clone(), input: job.input.clone() };
            let bytes = serde_json::to_vec(&given)?.len();
            self.given = Some((given, bytes, None));
        }
        let Some((given, bytes, document)) = &mut self.given else {
            return Ok(Err(Given { run_name: job.run_name.clone(), input: job.input.clone() }));
        };
        if job.item.is_none() && *bytes < APART {
            return Ok(Err(given.clone()));
        }
        if let Some(document) = document {
            return Ok(Ok(document.clone()));
        }
        let made = Document::of(serde_json::to_vec(&Common::Given(given.clone()))?);
        *document = Some(made.clone());
        Ok(Ok(made))
    }
}

/// A job taken apart again, from its id, its rank and what the scripts store.
pub(super) fn unpack(
    (id, rank): (&str, &str),
    raw: &[u8],
    document: impl Fn(&str) -> Option<Arc<Common>>,
) -> Result<Job, String> {
    let at = raw.iter().position(|b| *b == b'\n').ok_or("it has no head")?;
    let hashes = std::str::from_utf8(&raw[..at]).map_err(|e| e.to_string())?;
    let id = job_of(id).ok_or("its name is none of a job")?;
    let own: Own = serde_json::from_slice(&raw[at + 1..]).map_err(|e| e.to_string())?;
    let (mut shared, mut given) = (None, own.given);
    for hash in hashes.split(AND) {
        let found = document(hash).ok_or("a document that it shares with other jobs is missing")?;
        match found.as_ref() {
            Common::Task(task) => shared = Some(task.clone()),
            Common::Given(document) => given = Some(document.clone()),
        }
    }
    let shared = shared.ok_or("it does not say which task it is")?;
    let Given { run_name, input } = given.ok_or("it does not say what it is given")?;
    Ok(Job {
        version: shared.version,
        id,
        pool: shared.pool,
        // A score: a whole number, which Redis may write with an exponent.
        rank: rank.parse::<f64>().map_or(0, |rank| rank as i64),
        run_name,
        task_name: shared.task_name,
        program: match shared.program {
            Some(program) => program,
            None => Program::Command(own.command.ok_or("it does not say what runs")?),
        },
        env: own.env,
        timeout: shared.timeout,
        outputs: shared.outputs,
        at_most_once: shared.at_most_once,
        item: own.item,
        input,
    })
}

/// Large documents that a worker keeps, for the next items of the same forEach. Small ones come with each claim that needs them.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// Oldest first: hash, document, its size as text.
    kept: VecDeque<(String, Arc<Common>, usize)>,
}

impl Documents {
    /// So many of them, ...
    const MOST: usize = 16;
    /// ... and so many bytes of text, but always the newest one.
    const MOST_BYTES: usize = 4 << 20;

    /// Their hashes.
    pub(super) fn hashes(&self) -> Vec<String> {
        self.kept.iter().map(|(hash, ..)| hash.clone()).collect()
    }

    /// The one of this hash.
    pub(super) fn get(&self, hash: &str) -> Option<Arc<Common>> {
        self.kept.iter().find(|(own, ..)| own == hash).map(|(_, document, _)| document.clone())
    }

    /// Keeps one more, and forgets the oldest ones for it.
    pub(super) fn keep(&mut self, hash: String, document: Arc<Common>, bytes: usize) {
        if bytes < APART {
            return;
        }
        self.kept.retain(|(own, ..)| *own != hash);
        self.kept.push_back((hash, document, bytes));
        let too_much = |kept: &VecDeque<(String, Arc<Common>, usize)>| {
            kept.len() > Documents::MOST
                || kept.iter().map(|(.., bytes)| bytes).sum::<usize>() > Documents::MOST_BYTES
        };
        while self.kept.len() > 1 && too_much(&self.kept) {
            self.kept.pop_front();
        }
    }
}

/// 72 bits of the digest, 6 in a character: by chance no two documents of a pool meet in them, and its users share their trust.
fn hash(text: &[u8]) -> Arc<str> {
    let digest = Sha256::digest(text);
    let mut out = String::with_capacity(12);
    for three in digest.chunks_exact(3).take(3) {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        out.extend([18, 12, 6, 0].map(|shift| char::from(DIGITS[bits >> shift & 63])));
    }
    out.into()
}
