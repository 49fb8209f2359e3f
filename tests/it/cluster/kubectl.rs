//! kubectl as a user has it, with a bound on each call and on each wait.

use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::from_bed;

/// How long a condition is waited for.
pub const SOON: Duration = Duration::from_secs(60);
/// How long a condition is waited for that needs pods to start while much else is going on.
pub const LATER: Duration = Duration::from_secs(180);

/// kubectl for the bed's cluster, as its administrator.
pub fn kubectl() -> Command {
    let mut command = Command::new(from_bed("RELAY_TEST_KUBECTL"));
    command.env("KUBECONFIG", from_bed("RELAY_TEST_KUBECONFIG")).arg("--request-timeout=30s");
    command
}

/// Runs it with something on its standard input.
pub fn with_input(command: &mut Command, input: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads its input");
    output
}

/// Its output, when it ended well.
#[track_caller]
pub fn well(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A namespace of a test's own, with the restricted Pod Security standard enforced; it goes with the value.
pub struct Namespace {
    /// Its name.
    pub name: String,
}

impl Namespace {
    /// Makes it; `what` is the beginning of its name.
    #[track_caller]
    pub fn new(what: &str) -> Namespace {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let name = format!("{what}-{}", &id[24..]);
        let text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: \
             {{pod-security.kubernetes.io/enforce: restricted}}}}\n"
        );
        well(with_input(kubectl().args(["create", "-f", "-"]), &text));
        Namespace { name }
    }

    /// kubectl in this namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = kubectl();
        command.args(["-n", &self.name]).args(arguments);
        command
    }

    /// Its output, when it ended well.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        well(self.kubectl(arguments).output().expect("kubectl starts"))
    }

    /// Applies manifests.
    #[track_caller]
    pub fn apply(&self, manifests: &str) -> String {
        well(with_input(&mut self.kubectl(&["apply", "-f", "-"]), manifests))
    }

    /// An object as JSON; null when it is not there.
    #[track_caller]
    pub fn get(&self, kind: &str, name: &str) -> Value {
        let text = self.run(&["get", kind, name, "-o", "json", "--ignore-not-found"]);
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    /// All objects of a kind.
    #[track_caller]
    pub fn list(&self, kind: &str) -> Vec<Value> {
        let list: Value = serde_json::from_str(&self.run(&["get", kind, "-o", "json"])).expect("JSON");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// `kubectl wait`, as a user would type it.
    #[track_caller]
    pub fn wait(&self, object: &str, condition: &str, limit: Duration) {
        let (until, limit) =
            (format!("--for=condition={condition}"), format!("--timeout={}s", limit.as_secs()));
        let output = self.kubectl(&["wait", object, &until, &limit]).output().expect("kubectl starts");
        if !output.status.success() {
            let now = self.run(&["get", object, "-o", "yaml"]);
            let pods = self.run(&["get", "pods,workerpools", "-o", "wide"]);
            panic!("{}\n{now}\n{pods}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// Asks for an object until it is as wanted; gives it.
    #[track_caller]
    pub fn until(&self, kind: &str, name: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + limit;
        loop {
            let object = self.get(kind, name);
            if wanted(&object) {
                return object;
            }
            assert!(Instant::now() < end, "{kind} {name} did not become so within {limit:?}: {object:#}");
            std::thread::park_timeout(Duration::from_millis(250));
        }
    }

    /// The reasons of the events about an object.
    pub fn events(&self, name: &str) -> Vec<(String, String)> {
        let events = self.list("events.events.k8s.io");
        let about = events.iter().filter(|e| e["regarding"]["name"] == name);
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        about.map(|e| (text(&e["reason"]), text(&e["note"]))).collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The bed goes soon after; only its pods' memory is worth giving back now.
        let delete = kubectl().args(["delete", "namespace", &self.name, "--wait=false"]).output();
        if let Err(error) = delete {
            eprintln!("namespace {}: {error}", self.name);
        }
    }
}

/// A condition of an object: its status, reason and message.
pub fn condition(object: &Value, name: &str) -> Option<(String, String, String)> {
    let list = object["status"]["conditions"].as_array()?;
    let found = list.iter().find(|c| c["type"] == name)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}

/// Is the condition True?
pub fn is_true(object: &Value, name: &str) -> bool {
    condition(object, name).is_some_and(|(status, ..)| status == "True")
}
