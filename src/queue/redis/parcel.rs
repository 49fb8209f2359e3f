//! Jobs as they lie in Redis: a document that many jobs share is stored once.

use std::{collections::VecDeque, fmt::Write, sync::Arc};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::job::Job;

/// A document of at least so many bytes is stored apart.
const APART: usize = 1 << 10;

/// A job and what it shares, as they are stored.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    /// The job without its shared document.
    pub(super) body: Vec<u8>,
    /// The document's hash and text.
    pub(super) document: Option<Document>,
}

/// A document by its content.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// Hex of its digest.
    pub(super) hash: Arc<str>,
    /// JSON.
    pub(super) text: Arc<[u8]>,
}

impl Parcel {
    /// What travels for this job alone, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.body.len()
    }
}

/// Packs jobs. Those that share a document in memory share the work of writing it.
#[derive(Default)]
pub(super) struct Packer {
    last: Option<(Arc<Value>, Option<Document>)>,
}

impl Packer {
    /// A job as it is stored; an error is the serializer's.
    pub(super) fn pack(&mut self, job: &Job) -> serde_json::Result<Parcel> {
        let document = match &self.last {
            Some((input, document)) if Arc::ptr_eq(input, &job.input) => document.clone(),
            _ => {
                let text = serde_json::to_vec(job.input.as_ref())?;
                let document =
                    (text.len() >= APART).then(|| Document { hash: hash(&text), text: text.into() });
                self.last = Some((job.input.clone(), document.clone()));
                document
            }
        };
        let body = match &document {
            None => serde_json::to_vec(job)?,
            Some(_) => serde_json::to_vec(&Job { input: Arc::new(Value::Null), ..job.clone() })?,
        };
        Ok(Parcel { body, document })
    }
}

/// `<hash or nothing>\n<body>`, as the scripts store it, taken apart.
pub(super) fn unpack(raw: &[u8], document: impl FnOnce(&str) -> Option<Arc<Value>>) -> Result<Job, String> {
    let at = raw.iter().position(|b| *b == b'\n').ok_or("it has no head")?;
    let (hash, body) = (&raw[..at], &raw[at + 1..]);
    let mut job: Job = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    if !hash.is_empty() {
        let hash = std::str::from_utf8(hash).map_err(|e| e.to_string())?;
        job.input = document(hash).ok_or("the document that it shares with other jobs is missing")?;
    }
    Ok(job)
}

/// Documents that a worker keeps, for the next items of the same forEach.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// Oldest first: hash, document, its size as text.
    kept: VecDeque<(String, Arc<Value>, usize)>,
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
    pub(super) fn get(&self, hash: &str) -> Option<Arc<Value>> {
        self.kept.iter().find(|(own, ..)| own == hash).map(|(_, document, _)| document.clone())
    }

    /// Keeps one more, and forgets the oldest ones for it.
    pub(super) fn keep(&mut self, hash: String, document: Arc<Value>, bytes: usize) {
        self.kept.retain(|(own, ..)| *own != hash);
        self.kept.push_back((hash, document, bytes));
        let too_much = |kept: &VecDeque<(String, Arc<Value>, usize)>| {
            kept.len() > Documents::MOST
                || kept.iter().map(|(.., bytes)| bytes).sum::<usize>() > Documents::MOST_BYTES
        };
        while self.kept.len() > 1 && too_much(&self.kept) {
            self.kept.pop_front();
        }
    }
}

fn hash(text: &[u8]) -> Arc<str> {
    let digest = Sha256::digest(text);
    let hex = digest.iter().take(16).fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    hex.into()
}
