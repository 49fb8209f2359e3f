//! What the operator knows of each Run beyond its object: kept while the object is there and its run may still change.
//! Nothing here is lost with the process that could not be found again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::crd::run::DesiredState;
use crate::crd::status::Disregarded;
use crate::model::{ids::RunId, view::RunView};
use crate::operator::accept::Definition;
use crate::operator::api::{Object, ObjectName};
use crate::operator::status::Waiting;

/// A Run object of this very uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunRef {
    /// Its name.
    pub name: ObjectName,
    /// Its uid.
    pub uid: String,
}

impl fmt::Display for RunRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run {} ({})", self.name, self.uid)
    }
}

/// How far a Run has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// It waits to be accepted.
    Waiting(Waiting),
    /// It was cancelled before there was anything to run.
    Withdrawn,
    /// It is live: the conductor knows.
    Live,
    /// It is not live any longer, and this is the last to be said of it.
    Last(Arc<RunView>),
}

/// What is known of a Run.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its object.
    pub at: RunRef,
    /// How far it has come.
    pub known: Option<Known>,
    /// The object as the answer to the last write of its status told.
    pub patched: Option<Arc<Object>>,
    /// The desiredState that was acted on last.
    pub desired: Option<DesiredState>,
    /// What its user should know, a sentence each.
    pub notes: Vec<String>,
    /// Approvals that decided nothing.
    pub disregarded: Vec<Disregarded>,
    /// Lines of approvals, by task and text, that have decided.
    pub decided: BTreeSet<(String, String)>,
}

/// The pages of all Runs.
#[derive(Debug, Default)]
pub struct Book {
    pages: Mutex<BTreeMap<RunId, Page>>,
}

impl Book {
    /// A page as it is now.
    pub fn page(&self, id: &RunId) -> Option<Page> {
        self.pages().get(id).cloned()
    }

    /// Opens a page, unless it is open. `disregarded`: what the object's status says.
    pub fn open(&self, id: &RunId, at: &RunRef, disregarded: impl FnOnce() -> Vec<Disregarded>) {
        self.pages().entry(id.clone()).or_insert_with(|| Page {
            at: at.clone(),
            known: None,
            patched: None,
            desired: None,
            notes: Vec::new(),
            disregarded: disregarded(),
            decided: BTreeSet::new(),
        });
    }

    /// Changes a page; none when it is not open.
    pub fn change<T>(&self, id: &RunId, change: impl FnOnce(&mut Page) -> T) -> Option<T> {
        self.pages().get_mut(id).map(change)
    }

    /// Closes a page.
    pub fn close(&self, id: &RunId) {
        self.pages().remove(id);
    }

    /// Runs whose pages are open.
    pub fn open_pages(&self) -> Vec<RunId> {
        self.pages().keys().cloned().collect()
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<RunId, Page>> {
        // Each verb leaves it whole.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the Workflows' names stand for, as stored, and who waits for them.
#[derive(Debug, Default)]
pub struct Definitions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<ObjectName, Result<Arc<Definition>, String>>,
    waiting: BTreeMap<ObjectName, BTreeSet<RunRef>>,
}

impl Definitions {
    /// What a name stands for; none when nothing is stored of it.
    pub fn get(&self, name: &ObjectName) -> Option<Result<Arc<Definition>, String>> {
        self.inner().known.get(name).cloned()
    }

    /// A name stands for this from now on, or for nothing. Gives the Runs that waited for it.
    pub fn set(&self, name: &ObjectName, now: Option<Result<Arc<Definition>, String>>) -> BTreeSet<RunRef> {
        let mut inner = self.inner();
        match now {
            Some(now) => drop(inner.known.insert(name.clone(), now)),
            None => drop(inner.known.remove(name)),
        }
        inner.waiting.remove(name).unwrap_or_default()
    }

    /// This Run is to be looked at again when the name stands for something else.
    pub fn wait(&self, name: &ObjectName, run: &RunRef) {
        self.inner().waiting.entry(name.clone()).or_default().insert(run.clone());
    }

    /// It waits no longer.
    pub fn leave(&self, name: &ObjectName, run: &RunRef) {
        let mut inner = self.inner();
        let Some(waiting) = inner.waiting.get_mut(name) else { return };
        waiting.remove(run);
        if waiting.is_empty() {
            inner.waiting.remove(name);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each verb leaves it whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
