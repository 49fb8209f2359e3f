//! `relay run` with the built binary: what a user gives it, and what comes of it.

mod approvals;
mod database;
mod inputs;
mod machine;
mod parts;
mod resume;
mod signals;
mod terminal;

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Told, relay};

/// A folder with a manifest. Tasks leave marks there: `echo text >> "$MARKS"`.
pub(super) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(super) fn new(manifest: &str) -> Desk {
        let desk = Desk { folder: tempfile::tempdir().expect("a folder") };
        desk.write("flow.yaml", manifest);
        desk
    }

    /// A Workflow called `flow` with this spec, indented by two.
    fn flow(spec: &str) -> Desk {
        Desk::new(&flow("flow", spec))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A further file; gives its path.
    pub(super) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("written");
        self.path(name).to_str().expect("a path of text").to_owned()
    }

    /// `relay run` on the manifest.
    fn relay(&self) -> Command {
        let mut command = self.relay_without_file();
        command.arg(self.path("flow.yaml"));
        command
    }

    /// `relay run`, whose tasks know where marks go.
    pub(super) fn relay_without_file(&self) -> Command {
        let mut command = relay();
        command.args(["run", "--env"]).arg(format!("MARKS={}", self.path("marks").display()));
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Told {
        Told::of(self.relay().args(arguments))
    }

    /// What tasks wrote down, in order.
    pub(super) fn marks(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("marks")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A Workflow with this spec, indented by two.
fn flow(name: &str, spec: &str) -> String {
    format!("apiVersion: relay.works/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}}}\nspec:\n{spec}\n")
}

/// A Run of a Workflow, with its params in flow style.
fn a_run(name: &str, of: &str, params: &str) -> String {
    format!(
        "---\napiVersion: relay.works/v1alpha1\nkind: Run\nmetadata: {{name: {name}}}\n\
         spec: {{workflowRef: {{name: {of}}}, params: {params}}}\n"
    )
}
