//! Where log lines go and what they look like.

use std::io::{self, IsTerminal as _};

use relay::cli::{Verb, operator::LogFormat};
use tracing_subscriber::{EnvFilter, fmt};

/// Begins to log, to standard error. The operator tells what it does, as JSON, and so does a
/// worker; the other verbs speak to a person.
pub fn begin(verb: &Verb) {
    let (level, json) = match verb {
        Verb::Operator(args) => ("info", args.log_format == LogFormat::Json),
        Verb::Worker(_) => ("info", true),
        // It begins with an empty Redis, which is worth a warning anywhere else.
        Verb::Bench(_) | Verb::BenchConductor(_) => ("error", false),
        _ => ("warn", false),
    };
    // A request that fails is told where it is handled; kube's own line about it would say ERROR each time.
    let usual = || EnvFilter::new(format!("{level},kube_client::client::builder=off"));
    let filter = EnvFilter::try_from_env("RELAY_LOG").unwrap_or_else(|_| usual());
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    } else {
        lines.with_ansi(io::stderr().is_terminal()).init();
    }
}
