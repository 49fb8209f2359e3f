//! The bed's Kubernetes itself: pods run, are read and entered, reach Services and the bed's servers.

use crate::support::{Program, from_bed};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// A pod whose init container hands a word to its container, as a worker's gets the relay binary.
const TWO_STEPS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: steps}
spec:
  restartPolicy: Never
  initContainers:
    - {name: first, image: 'busybox:1.36', command: [sh, -c, 'echo handed over > /shared/word'], volumeMounts: [{name: shared, mountPath: /shared}]}
  containers:
    - {name: second, image: 'busybox:1.36', command: [cat, /shared/word], volumeMounts: [{name: shared, mountPath: /shared}]}
  volumes: [{name: shared, emptyDir: {}}]
";

const SERVED: &str = "
apiVersion: v1
kind: Pod
metadata: {name: served, labels: {app: served}}
spec:
  containers:
    - name: web
      image: busybox:1.36
      command: [sh, -c, 'mkdir /tmp/web && echo hello > /tmp/web/index.html && exec httpd -f -p 8080 -h /tmp/web']
      readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: served}
spec: {selector: {app: served}, ports: [{port: 80, targetPort: 8080}]}
";

/// A namespace of a test's own.
struct Space(String);

impl Space {
    fn new() -> Space {
        let space = Space(format!("node-{}", uuid::Uuid::now_v7().simple()));
        kubectl(&["create", "namespace", &space.0]);
        kubectl(&["wait", "--for=create", "serviceaccount/default", "--timeout=60s", "-n", &space.0]);
        space
    }

    #[track_caller]
    fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["-n", &self.0], arguments].concat())
    }

    /// Makes what a manifest says.
    #[track_caller]
    fn create(&self, manifest: &str) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, manifest).expect("written");
        self.kubectl(&["create", "-f", file.path().to_str().expect("a plain path")]);
    }

    #[track_caller]
    fn sees(&self, condition: &str, object: &str) {
        self.kubectl(&["wait", &format!("--for={condition}"), object, "--timeout=90s"]);
    }

    /// What a shell in the pod `served` prints.
    #[track_caller]
    fn shell(&self, script: &str) -> String {
        self.kubectl(&["exec", "served", "--", "sh", "-c", script])
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        kubectl(&["delete", "namespace", &self.0, "--wait=false"]);
    }
}

/// Its output, when it ended well.
#[track_caller]
fn kubectl(arguments: &[&str]) -> String {
    let mut command = Command::new(from_bed("RELAY_TEST_KUBECTL"));
    command.env("KUBECONFIG", from_bed("RELAY_TEST_KUBECONFIG")).args(arguments);
    let finished = Program::start(&mut command).finish(LIMIT);
    // A second panic while one is under way would abort the whole test binary.
    assert!(finished.status.success() || std::thread::panicking(), "{arguments:?}: {}", finished.errors);
    finished.output
}

/// Host and port of a URL with a user, a password and a path, and the password.
fn address(url: &str) -> (String, String, String) {
    let (user, place) = url.rsplit_once('@').expect("user and host");
    let (host, port) = place.split_once('/').expect("a path").0.split_once(':').expect("a host and a port");
    (host.to_owned(), port.to_owned(), user.rsplit_once(':').expect("a password").1.to_owned())
}

#[test]
fn a_pod_runs_to_its_end_and_its_log_is_read() {
    let space = Space::new();
    space.create(TWO_STEPS);
    space.sees("jsonpath={.status.phase}=Succeeded", "pod/steps");
    assert_eq!(space.kubectl(&["logs", "steps"]), "handed over\n");
}

#[test]
fn relay_runs_from_its_image() {
    let space = Space::new();
    let image = format!("--image={}", from_bed("RELAY_TEST_IMAGE"));
    space.kubectl(&[
        "run",
        "relay",
        &image,
        "--restart=Never",
        "--image-pull-policy=Never",
        "--",
        "--version",
    ]);
    space.sees("jsonpath={.status.phase}=Succeeded", "pod/relay");
    assert_eq!(space.kubectl(&["logs", "relay"]), format!("relay {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_pod_reaches_services_and_the_beds_servers() {
    let space = Space::new();
    space.create(SERVED);
    space.sees("condition=Ready", "pod/served");
    let service = space.kubectl(&["get", "service", "served", "-o", "jsonpath={.spec.clusterIP}"]);
    let service = service.trim();
    // A Service is there a moment after its pod is ready; until then whoever asks may get no answer at all.
    let patient = format!(
        "for i in $(seq 100); do timeout 2 wget -q -O - http://{service}/ && exit; sleep 0.1; done; exit 1"
    );
    assert_eq!(space.shell(&patient), "hello\n");

    let (host, port, password) = address(&from_bed("RELAY_TEST_POD_REDIS_URL"));
    let redis =
        format!("printf 'AUTH default {password}\\r\\nPING\\r\\nQUIT\\r\\n' | timeout 20 nc {host} {port}");
    assert!(space.shell(&redis).starts_with("+OK\n+PONG"), "Redis answers");

    // Postgres' answer to the question whether it speaks TLS: no.
    let (host, port, _) = address(&from_bed("RELAY_TEST_POD_POSTGRES_URL"));
    let postgres = format!("printf '\\000\\000\\000\\010\\004\\322\\026\\057' | timeout 20 nc {host} {port}");
    assert_eq!(space.shell(&postgres).trim(), "N", "Postgres answers");
}
