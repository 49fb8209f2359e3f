//! `relay crds`: prints the CustomResourceDefinitions that this relay goes with.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::crd::definition::{file_name, printed};
use crate::crd::schema::Kind;

/// Print the CustomResourceDefinitions of Workflow, Run and WorkerPool
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  relay crds | kubectl apply --server-side -f -
  relay crds --out crds")]
pub struct Args {
    /// Write a file of each kind into this folder, which is made if need be
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Prints all as one YAML, or writes a file each. The status is 0, or 1 for a failure.
pub fn show(args: &Args) -> ExitCode {
    let outcome = match &args.out {
        None => print(),
        Some(folder) => write(folder),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print() -> anyhow::Result<()> {
    let all: Vec<String> = Kind::ALL.map(printed).into();
    match io::stdout().write_all(all.join("---\n").as_bytes()) {
        // Whoever read it had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("they could not be printed"),
    }
}

fn write(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} could not be made", folder.display()))?;
    for kind in Kind::ALL {
        let path = folder.join(file_name(kind));
        std::fs::write(&path, printed(kind))
            .with_context(|| format!("{} could not be written", path.display()))?;
    }
    Ok(())
}
