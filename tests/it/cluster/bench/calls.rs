//! What the API server was asked, by its own metrics.

use std::collections::BTreeMap;
use std::fmt;

/// Calls by verb and resource (`runs/status`).
pub struct Calls(BTreeMap<(String, String), u64>);

/// What changes an object.
const CHANGES: [&str; 6] = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];

impl Calls {
    /// Out of the server's metrics.
    pub fn read(metrics: &str) -> Calls {
        let mut calls = BTreeMap::new();
        for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let label = |name: &str| {
                let (_, rest) = line.split_once(&format!("{name}=\""))?;
                rest.split_once('"').map(|(value, _)| value.to_owned())
            };
            let count = line.rsplit(' ').next().and_then(|text| text.parse::<f64>().ok());
            let (Some(verb), Some(resource), Some(count)) = (label("verb"), label("resource"), count) else {
                continue;
            };
            let resource = match label("subresource").filter(|sub| !sub.is_empty()) {
                Some(sub) => format!("{resource}/{sub}"),
                None => resource,
            };
            *calls.entry((verb, resource)).or_default() += count as u64;
        }
        Calls(calls)
    }

    /// Those since then, but those by which this was asked and the server's own.
    pub fn since(&self, before: &Calls) -> Calls {
        let own = ["", "leases", "endpointslices", "apiservices", "configmaps"];
        let grown = self.0.iter().filter(|((_, resource), _)| !own.contains(&resource.as_str()));
        let grown =
            grown.map(|(of, count)| (of.clone(), count - before.0.get(of).copied().unwrap_or_default()));
        Calls(grown.filter(|(_, count)| *count > 0).collect())
    }

    /// Those that changed anything.
    pub fn changes(&self) -> Calls {
        let changes = self.0.iter().filter(|((verb, _), _)| CHANGES.contains(&verb.as_str()));
        Calls(changes.map(|(of, count)| (of.clone(), *count)).collect())
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// What Relay wrote of Runs, which are themselves created by whoever measures.
    pub fn written(&self) -> u64 {
        let relays = |(verb, resource): &(String, String)| {
            let of_runs = resource.starts_with("runs") || resource == "events";
            of_runs
                && CHANGES.contains(&verb.as_str())
                && (verb.as_str(), resource.as_str()) != ("POST", "runs")
        };
        self.0.iter().filter(|(of, _)| relays(of)).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> =
            self.0.iter().map(|((verb, resource), count)| format!("{count} {verb} {resource}")).collect();
        f.write_str(&all.join(", "))
    }
}
