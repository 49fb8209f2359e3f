//! `relay run`: its arguments.

use std::path::PathBuf;

use crate::cli::connections::Connections;
use crate::model::ids::RunId;

/// Run the Runs (or the Workflow) of a file here and now: no cluster, Postgres or Redis needed
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit status: 0 every run ended in SUCCESS, 1 a run FAILED, 2 the input was refused and nothing ran, 130 cancelled.
The first Ctrl-C cancels (finally tasks still run), the second kills.

Examples:
  relay run examples/hello.yaml
  relay run examples/params.yaml -p date=2026-11-20 -p 'regions=[\"eu\"]'
  relay run examples/approval.yaml --approve=publish")]
pub struct Args {
    /// The manifests: all Runs in the file are run at once, else its one Workflow; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "resume")]
    pub file: Option<PathBuf>,
    /// Which Workflow of the file to run
    #[arg(long, value_name = "NAME", conflicts_with = "resume")]
    pub workflow: Option<String>,
    /// A param, read by its declared type; wins over --params, the Run and the default
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE", conflicts_with = "resume")]
    pub param: Vec<String>,
    /// Params from a YAML or JSON file
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub params: Option<PathBuf>,
    /// Approve this task beforehand; without a name: every task
    #[arg(long, value_name = "TASK", num_args = 0..=1, require_equals = true, default_missing_value = "", value_delimiter = ',')]
    pub approve: Vec<String>,
    /// Tasks at a time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub slots: Option<u16>,
    /// Hand an environment variable of this shell to every task, or set one
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Seconds between SIGTERM and SIGKILL of a task
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub grace: u64,
    /// Keep the runs in this Postgres (postgres://user:password@host/database), so that they survive this process
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Bring that database's schema up to date first
    #[arg(long, requires = "database_url")]
    pub migrate: bool,
    /// Go on with a run of that database that was cut off
    #[arg(long, value_name = "RUN ID", requires = "database_url", conflicts_with = "file")]
    pub resume: Option<RunId>,
    /// The connections to that database.
    #[command(flatten)]
    pub connections: Connections,
}

impl Args {
    /// The environment that every task starts from: PATH, HOME, LANG, TMPDIR, and what `--env` asks for.
    pub fn environment(
        &self,
        of_shell: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<(String, String)>, String> {
        let mut env: Vec<(String, String)> = Vec::new();
        for name in ["PATH", "HOME", "LANG", "TMPDIR"] {
            env.extend(of_shell(name).map(|value| (name.to_owned(), value)));
        }
        for asked in &self.env {
            let (name, value) = match asked.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let value = of_shell(asked);
                    let missing = || {
                        format!(
                            "--env {asked}: this shell has no such variable; give it: --env {asked}=VALUE"
                        )
                    };
                    (asked.as_str(), value.ok_or_else(missing)?)
                }
            };
            if name.is_empty() || name.contains('\0') || value.contains('\0') || name.starts_with("RELAY_") {
                return Err(format!("--env {asked}: a name is needed that does not begin with RELAY_"));
            }
            env.retain(|(known, _)| known != name);
            env.push((name.to_owned(), value));
        }
        Ok(env)
    }
}
