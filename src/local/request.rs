//! What the user asked for.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use crate::model::ids::RunId;

/// Where the runs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of manifests; `-` is standard input. The name chooses one of its Workflows.
    File {
        /// Which file.
        path: PathBuf,
        /// Which Workflow of it.
        workflow: Option<String>,
    },
    /// A run of the database that was cut off.
    Resume(RunId),
}

/// Which approvals are given beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approve {
    /// All.
    pub all: bool,
    /// Those of these tasks.
    pub tasks: BTreeSet<String>,
}

impl Approve {
    /// Is the approval of this task given beforehand?
    pub fn covers(&self, task: &str) -> bool {
        self.all || self.tasks.contains(task)
    }
}

/// A request to run something here and now.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to run.
    pub source: Source,
    /// `-p name=value`, in order.
    pub params: Vec<String>,
    /// `--params FILE`.
    pub params_file: Option<PathBuf>,
    /// `--approve`.
    pub approve: Approve,
    /// Tasks at a time.
    pub slots: usize,
    /// What every task finds in its environment.
    pub env: Vec<(String, String)>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Who approves and rejects.
    pub user: String,
    /// May the user be asked?
    pub interactive: bool,
    /// Colours?
    pub colour: bool,
}
