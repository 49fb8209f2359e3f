//! The chart as helm and a real API server see it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use relay::bench::GIVES_BACK;
use serde_json::Value;

use crate::support::{from_bed, repository};

/// What must be given.
const GIVEN: [&str; 4] = [
    "--set",
    "postgres.existingSecret.name=relay-postgres",
    "--set",
    "redis.existingSecret.name=relay-redis",
];

fn helm(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(from_bed("RELAY_TEST_HELM"));
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(name, folder.path());
    }
    command.args(arguments).env("KUBECONFIG", from_bed("RELAY_TEST_KUBECONFIG"));
    command.stdin(Stdio::null()).output().expect("helm starts")
}

fn chart() -> String {
    repository("charts/relay").to_str().expect("a plain path").to_owned()
}

fn template(arguments: &[&str]) -> Output {
    helm(
        &[
            &["template", "relay", &chart(), "--namespace", "relay-system", "--kube-version", "1.36.0"],
            arguments,
        ]
        .concat(),
    )
}

#[track_caller]
fn rendered(arguments: &[&str]) -> String {
    let output = template(&[&GIVEN, arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let output = template(arguments);
    assert!(!output.status.success(), "helm accepts {arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// Everything that a text of YAML documents holds.
fn objects(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn helm_finds_no_fault_with_the_chart() {
    let output = helm(&["lint", &chart(), "--strict"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn without_its_secrets_the_chart_says_what_to_do() {
    let said = refused(&[]);
    assert!(said.contains("postgres.existingSecret.name is required"), "{said}");
    assert!(said.contains("kubectl create secret generic relay-postgres"), "{said}");
    let said = refused(&["--set", "postgres.existingSecret.name=one"]);
    assert!(said.contains("redis.existingSecret.name is required"), "{said}");
}

#[test]
fn a_misspelt_or_senseless_value_is_refused_by_name() {
    for (value, words) in [
        ("imagee.tag=1", "imagee"),
        ("image.tagg=1", "tagg"),
        ("replicas=-1", "replicas"),
        ("leaders=0", "leaders"),
        ("log.format=xml", "format"),
        ("image.digest=latest", "digest"),
        ("redis.workerUrl=redis://user:secret@host", "workerUrl"),
        ("redis.acl=None", "acl"),
    ] {
        let said = refused(&[&GIVEN[..], &["--set", value]].concat());
        assert!(said.contains(words), "{value}: {said}");
    }
}

#[test]
fn the_operator_may_do_little_and_nobody_everything() {
    let objects = objects(&rendered(&[]));
    let roles = of_kind(&objects, "ClusterRole");
    assert_eq!(roles.len(), 3);
    for role in roles {
        for rule in role["rules"].as_array().expect("rules") {
            let words = |field: &str| -> Vec<String> {
                let list = rule[field].as_array().cloned().unwrap_or_default();
                list.iter().map(|word| word.as_str().expect("text").to_owned()).collect()
            };
            for field in ["apiGroups", "resources", "verbs"] {
                assert!(!words(field).iter().any(|word| word.contains('*')), "a wildcard: {rule}");
            }
            let writes = ["escalate", "bind", "impersonate"];
            assert!(!words("verbs").iter().any(|verb| writes.contains(&verb.as_str())), "{rule}");
            if words("resources").contains(&"secrets".to_owned()) {
                assert_eq!(words("verbs"), ["create", "patch"], "none is listed");
            }
            if words("resources").contains(&"namespaces".to_owned()) {
                assert_eq!(words("resourceNames"), ["kube-system"]);
            }
        }
    }
    let none = rendered(&["--set", "rbac.create=false", "--set", "rbac.aggregate=false"]);
    assert!(!none.contains("ClusterRole"), "no role was asked for");
}

#[test]
fn what_is_given_reaches_the_pod() {
    let text = rendered(&[
        "--set",
        "image.repository=registry.example/relay",
        "--set",
        "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "--set",
        "redis.workerUrl=redis://redis.data:6379",
        "--set",
        "redis.acl=External",
        "--set",
        "redis.ca.existingSecret.name=redis-ca,redis.ca.existingSecret.key=root\\.pem",
        "--set",
        "postgres.existingSecret.key=dsn",
        "--set",
        "replicas=2",
        "--set",
        "leaders=2",
        "--set",
        "podLabels.team=data",
        "--set",
        "extraEnv[0].name=TZ,extraEnv[0].value=UTC",
        "--set",
        "topologySpreadConstraints[0].maxSkew=1,topologySpreadConstraints[0].topologyKey=zone,topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway",
        "--set",
        "adoptCluster=true,acceptOlderState=true",
    ]);
    let objects = objects(&text);
    let deployment = of_kind(&objects, "Deployment").remove(0);
    assert_eq!(deployment["spec"]["replicas"], 2);
    let pod = &deployment["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"]["team"], "data");
    let container = &pod["spec"]["containers"][0];
    let image = format!("registry.example/relay@sha256:{}", "0".repeat(64));
    assert_eq!(container["image"], image);
    let env = |name: &str| {
        let list = container["env"].as_array().expect("a list");
        list.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert_eq!(env("RELAY_IMAGE")["value"], image);
    assert_eq!(env("RELAY_WORKER_REDIS_URL")["value"], "redis://redis.data:6379");
    assert_eq!(env("RELAY_REDIS_ACL")["value"], "External");
    let ca = &env("RELAY_REDIS_CA")["valueFrom"]["secretKeyRef"];
    assert_eq!((&ca["name"], &ca["key"]), (&"redis-ca".into(), &"root.pem".into()));
    assert_eq!(env("RELAY_DATABASE_URL")["valueFrom"]["secretKeyRef"]["key"], "dsn");
    assert_eq!(env("RELAY_ADOPT_CLUSTER")["value"], "true");
    assert_eq!(env("RELAY_ACCEPT_OLDER_STATE")["value"], "true");
    assert_eq!(env("TZ")["value"], "UTC");
    assert_eq!(env("RELAY_LEADERS")["value"], "2");
    assert_eq!(env(GIVES_BACK.0)["value"], GIVES_BACK.1, "`relay bench` measures another one");
    let selector = &pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"];
    assert_eq!(selector, &deployment["spec"]["selector"]["matchLabels"]);
}

#[test]
fn several_operators_are_spread_and_drained_one_by_one() {
    let alone = objects(&rendered(&[]));
    assert!(of_kind(&alone, "PodDisruptionBudget").is_empty(), "it would keep a node from being drained");
    assert_eq!(of_kind(&alone, "Deployment")[0]["spec"]["template"]["spec"]["affinity"], Value::Null);
    let several = objects(&rendered(&["--set", "replicas=2"]));
    let deployment = of_kind(&several, "Deployment").remove(0);
    let budget = of_kind(&several, "PodDisruptionBudget").remove(0);
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    assert_eq!(budget["spec"]["selector"], deployment["spec"]["selector"]);
    let affinity = &deployment["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"];
    let rather = &affinity["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"];
    assert_eq!(rather["labelSelector"], deployment["spec"]["selector"]);
    let own = objects(&rendered(&["--set", "replicas=2", "--set", "affinity.nodeAffinity.x=y"]));
    let affinity = &of_kind(&own, "Deployment")[0]["spec"]["template"]["spec"]["affinity"];
    assert_eq!(affinity, &serde_json::json!({"nodeAffinity": {"x": "y"}}));
}

/// Each variable that the chart sets is one that the operator knows.
#[test]
fn the_chart_speaks_of_the_operators_own_variables() {
    let help = crate::support::relay().args(["operator", "--help"]).output().expect("relay starts");
    let help = String::from_utf8(help.stdout).expect("text");
    let more = "adoptCluster=true,acceptOlderState=true,leaders=2,redis.workerUrl=redis://r,redis.ca.existingSecret.name=ca";
    let text = rendered(&["--set", more]);
    let objects = objects(&text);
    let deployment = of_kind(&objects, "Deployment").remove(0);
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("a list");
    let names = env.iter().map(|entry| entry["name"].as_str().expect("a name"));
    for name in names.filter(|name| !["POD_NAME", "RELAY_LOG", GIVES_BACK.0].contains(name)) {
        assert!(help.contains(&format!("[env: {name}")), "{name} is unknown to:\n{help}");
    }
}

#[test]
fn crds_come_with_the_chart_stay_behind_it_and_can_be_left_out() {
    let all = objects(&rendered(&[]));
    let crds = of_kind(&all, "CustomResourceDefinition");
    let names: Vec<&str> = crds.iter().map(|crd| crd["metadata"]["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["runs.relay.works", "workerpools.relay.works", "workflows.relay.works"]);
    for crd in &crds {
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    let of_file =
        |name: &str| objects(&crate::support::read(&format!("crds/{name}.yaml"))).remove(0)["spec"].clone();
    assert_eq!(crds[0]["spec"], of_file("run"));
    let gone = objects(&rendered(&["--set", "crds.keep=false"]));
    for crd in of_kind(&gone, "CustomResourceDefinition") {
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], Value::Null);
    }
    let none = objects(&rendered(&["--set", "crds.enabled=false"]));
    assert_eq!(of_kind(&none, "CustomResourceDefinition").len(), 0);
}

/// In a namespace that warns of whatever the restricted standard forbids.
#[test]
fn the_api_server_takes_all_of_it_without_a_warning() {
    let space = format!("chart-{}", uuid::Uuid::now_v7().simple());
    let kubectl = |arguments: &[&str], input: &str| -> Output {
        let mut command = Command::new(from_bed("RELAY_TEST_KUBECTL"));
        command.env("KUBECONFIG", from_bed("RELAY_TEST_KUBECONFIG")).args(arguments);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().expect("kubectl starts");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("taken");
        child.wait_with_output().expect("it ends")
    };
    let made = format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {space}, labels: {{pod-security.kubernetes.io/warn: restricted}}}}}}"
    );
    assert!(kubectl(&["create", "-f", "-"], &made).status.success());
    let text = helm(
        &[&["template", "relay", &chart(), "--namespace", &space, "--kube-version", "1.36.0"], &GIVEN[..]]
            .concat(),
    );
    let text = String::from_utf8(text.stdout).expect("text");
    let output = kubectl(&["create", "--dry-run=server", "-f", "-"], &text);
    kubectl(&["delete", "namespace", &space, "--wait=false"], "");
    let said = String::from_utf8_lossy(&output.stderr);
    // Another test may have installed the chart's cluster-wide objects already.
    let trouble: Vec<&str> = said.lines().filter(|line| !line.contains("already exists")).collect();
    assert!(trouble.is_empty(), "{said}");
}
