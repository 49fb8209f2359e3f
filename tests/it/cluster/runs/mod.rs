//! Workflows and Runs as kubectl sees them, with an operator within the test.

mod control;
mod rig;

use rig::{Rig, condition};

const HELLO: &str = "
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: hello}
spec:
  params: [{name: who, type: string, default: you}]
  outputs: [{name: said, value: tasks.greet.outputs.said}]
  tasks:
    - name: greet
      env: [{name: WHO, value: $(params.who)}]
      script: echo \"said=hello $WHO\" >> \"$RELAY_OUTPUT\"
";

/// A Run of a Workflow; `more` goes on with its spec.
fn run_of(workflow: &str, name: &str, more: &str) -> String {
    format!(
        "apiVersion: relay.works/v1alpha1\nkind: Run\nmetadata: {{name: {name}}}\n\
         spec: {{workflowRef: {{name: {workflow}}}{more}}}\n---\n"
    )
}

fn is(status: &str, reason: &str) -> Option<(String, String)> {
    Some((status.to_owned(), reason.to_owned()))
}

#[test]
fn a_run_ends_and_says_so() {
    let rig = Rig::new();
    rig.apply(HELLO);
    rig.wait("workflow/hello", "Ready");
    rig.apply(&run_of("hello", "first", ", params: {who: world}"));
    rig.wait("run/first", "Finished");
    rig.wait("run/first", "Succeeded");
    let run = rig.get("run", "first");
    assert_eq!(run["status"]["outputs"]["said"], "hello world");
    assert_eq!(run["status"]["tasks"]["progress"], "1/1");
    assert_eq!(condition(&run, "Reconciling"), None);
    assert_eq!(condition(&run, "Stalled"), None);
    rig.until_event("first", "Started");
    rig.until_event("first", "Succeeded");
}
