//! What the operator knows of each Run beyond its object: kept while the object is there and its run may still change.
//! Nothing here is lost with the process that could not be found again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::crd::run::DesiredState;
use crate::crd::status::{Disregarded, RunStatus};
use crate::model::{ids::RunId, view::RunView};
use crate::operator::accept::Found;
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
    /// It was cancelled while there was nothing to run, and what is said of that.
    Withdrawn(&'static str),
    /// It is live: the conductor knows.
    Live,
    /// It is not live any longer: it ended, or was set aside, and this is the last to be said of it.
    Last(Arc<RunView>),
}

impl Known {
    /// Can it not become anything else?
    pub fn is_final(&self) -> bool {
        match self {
            Known::Withdrawn(_) => true,
            Known::Last(view) => view.row.status.is_final(),
            Known::Waiting(_) | Known::Live => false,
        }
    }
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
    /// The generation of the object that was looked at last, to its end; none before the first such look.
    pub generation: Option<i64>,
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

    /// Opens a page, unless it is open. `before`: what the object's status says.
    pub fn open(&self, id: &RunId, at: &RunRef, before: &RunStatus) {
        self.pages().entry(id.clone()).or_insert_with(|| Page {
            at: at.clone(),
            known: None,
            patched: None,
            generation: None,
            desired: before.desired.as_deref().and_then(DesiredState::parse),
            notes: Vec::new(),
            disregarded: before.disregarded.clone(),
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

/// Which object a look was at, and in which state of its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    uid: String,
    generation: i64,
}

impl Version {
    /// That of an object.
    pub fn of(object: &Object) -> Version {
        Version { uid: object.uid.clone(), generation: object.generation }
    }
}

/// What a look at a Workflow found.
#[derive(Clone, Debug)]
pub struct Definition {
    /// What was looked at.
    pub version: Version,
    /// What came of it.
    pub found: Found,
}

/// What the Workflows' names stand for, as stored, and who waits for them.
#[derive(Debug, Default)]
pub struct Definitions {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<ObjectName, Definition>,
    waiting: BTreeMap<ObjectName, BTreeSet<RunRef>>,
    /// The same, by who waits: for one name at a time.
    waits_for: BTreeMap<RunRef, ObjectName>,
}

impl Definitions {
    /// What a name stands for; none when nothing is stored of it.
    pub fn get(&self, name: &ObjectName) -> Option<Definition> {
        self.inner().known.get(name).cloned()
    }

    /// A name stands for this from now on, or for nothing. Gives the Runs that waited for it.
    pub fn set(&self, name: &ObjectName, now: Option<Definition>) -> BTreeSet<RunRef> {
        let mut inner = self.inner();
        match now {
            Some(now) => drop(inner.known.insert(name.clone(), now)),
            None => drop(inner.known.remove(name)),
        }
        let waited = inner.waiting.remove(name).unwrap_or_default();
        for run in &waited {
            inner.waits_for.remove(run);
        }
        waited
    }

    /// This Run is to be looked at again when the name stands for something else.
    pub fn wait(&self, name: &ObjectName, run: &RunRef) {
        let mut inner = self.inner();
        inner.leave(run);
        inner.waiting.entry(name.clone()).or_default().insert(run.clone());
        inner.waits_for.insert(run.clone(), name.clone());
    }

    /// It waits no longer.
    pub fn leave(&self, run: &RunRef) {
        self.inner().leave(run);
    }

    /// How many Runs wait.
    pub fn waiting(&self) -> usize {
        self.inner().waits_for.len()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each verb leaves it whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn leave(&mut self, run: &RunRef) {
        let Some(name) = self.waits_for.remove(run) else { return };
        if let Some(waiting) = self.waiting.get_mut(&name) {
            waiting.remove(run);
            if waiting.is_empty() {
                self.waiting.remove(&name);
            }
        }
    }
}
