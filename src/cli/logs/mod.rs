//! `relay logs`: what a run's tasks wrote, from the operator's API, by a port-forward of its own.

mod ask;
mod print;
mod reach;
mod which;

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
};

pub use ask::{Ask, Door, Wire, read};
pub use print::{Printer, Style};
pub use which::{Seen, Which};

/// Show what the tasks of a run wrote, while it runs or afterwards
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Lines come in the order in which they reached the operator; each stands behind [TASK/ITEM#ATTEMPT]
unless it is clear whose it is. What a task writes to standard error is shown as well.

It needs the right to list pods and to get and create pods/portforward in the operator's namespace.
Whoever has it can read the logs of every namespace. With the right to get the Run it shows the run of
this very object; without, the newest run of its name, and says which one that is.

With --follow a Run that waits to be accepted is waited for; without, what it waits for is said.

Exit status:
  0    every line was shown; with --follow: the run has ended, however it ended
  1    the run, its task or the operator was not found, or could not be reached; the Run is not
       accepted yet; or the last lines of a run that has ended may be missing
  2    wrong usage
  130  ended by Ctrl-C

Examples:
  relay logs nightly-etl-x7k2p
  relay logs nightly-etl-x7k2p extract/3 --follow
  relay logs nightly-etl-x7k2p -n data --json | jq -r 'select(.stream == \"stderr\").text'")]
pub struct Args {
    /// The name of the Run
    #[arg(value_name = "RUN", value_parser = run_name)]
    pub run: String,
    /// Only this task, or this item of a forEach
    #[arg(value_name = "TASK[/ITEM]", value_parser = task_name)]
    pub task: Option<String>,
    /// Go on until the run has ended
    #[arg(short, long)]
    pub follow: bool,
    /// The Run's namespace [default: the one of the kubeconfig's context]
    #[arg(short, long, value_name = "NAMESPACE", value_parser = namespace)]
    pub namespace: Option<String>,
    /// Show when each line was written
    #[arg(long, conflicts_with = "json")]
    pub timestamps: bool,
    /// Show lines as JSON objects, one a line, as the API gives them
    #[arg(long)]
    pub json: bool,
    /// The context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "CONTEXT", help_heading = "The cluster")]
    pub context: Option<String>,
    /// The kubeconfig [default: $KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE", help_heading = "The cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Where the operator runs
    #[arg(long, value_name = "NAMESPACE", default_value = "relay-system", help_heading = "The cluster", value_parser = namespace)]
    pub operator_namespace: String,
}

fn run_name(text: &str) -> Result<String, String> {
    name(text, 253, "-.")
}

fn namespace(text: &str) -> Result<String, String> {
    name(text, 63, "-")
}

fn task_name(text: &str) -> Result<String, String> {
    let (task, item) = text.split_once('/').unwrap_or((text, "0"));
    name(task, 63, "-")?;
    match item.parse::<u32>() {
        Ok(_) if item.bytes().all(|b| b.is_ascii_digit()) => Ok(text.to_owned()),
        _ => Err("what stands behind the `/` is the index of an item, a number from 0".to_owned()),
    }
}

fn name(text: &str, longest: usize, marks: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || marks.contains(c);
    if text.is_empty() || text.len() > longest || !text.chars().all(known) {
        return Err(format!("a name has 1 to {longest} small letters, digits and any of `{marks}`"));
    }
    Ok(text.to_owned())
}

/// Shows them. The exit status is as `Args` says.
pub async fn show(args: Args) -> ExitCode {
    let shown = async {
        let cluster = reach::cluster(&args).await?;
        let namespace = args.namespace.clone().unwrap_or_else(|| cluster.namespace.clone());
        let style = Style {
            json: args.json,
            timestamps: args.timestamps,
            colour: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
            one_task: args.task.is_some(),
        };
        let mut printer = Printer::new(style, Box::new(io::stdout()), Box::new(io::stderr()));
        let ask = Ask { namespace, run: args.run.clone(), task: args.task.clone(), follow: args.follow };
        read(&cluster, &ask, &mut printer).await
    };
    tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => ExitCode::from(130),
            Err(error) => {
                eprintln!("error: signals cannot be heard: {error}");
                ExitCode::FAILURE
            }
        },
        shown = shown => match shown {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}
