//! Workflows and Runs as kubectl sees them, with an operator within the test.

mod approvals;
mod aside;
mod behind;
mod broken;
pub(super) mod control;
mod keeper;
mod lists;
mod newest;
mod restart;
mod rig;
mod rows;
mod story;
mod wishes;

/// A Workflow that greets.
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
---
";

/// A Workflow that goes on until a file is there, whose name its param tells, and then tells in another that it ended.
const PATIENT: &str = "
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: patient}
spec:
  params: [{name: file, type: string}]
  tasks:
    - name: wait
      env: [{name: GO, value: $(params.file)}]
      script: until [ -e \"$GO\" ]; do sleep 0.05; done
    - name: then
      dependsOn: [wait]
      command: ['true']
  finally:
    - name: mark
      env: [{name: GO, value: $(params.file)}]
      script: echo ended > \"$GO.end\"
---
";

/// A Workflow that asks.
const ASKS: &str = "
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: asks}
spec:
  params: [{name: file, type: string, default: /}]
  tasks:
    - name: first
      env: [{name: GO, value: $(params.file)}]
      script: until [ -e \"$GO\" ]; do sleep 0.05; done
    - name: publish
      dependsOn: [first]
      approval: {message: 'Publish it?'}
      command: ['true']
---
";

/// A Run of a Workflow; `more` goes on with its spec.
fn run_of(workflow: &str, name: &str, more: &str) -> String {
    format!(
        "apiVersion: relay.works/v1alpha1\nkind: Run\nmetadata: {{name: {name}}}\n\
         spec: {{workflowRef: {{name: {workflow}}}{more}}}\n---\n"
    )
}

/// A condition as `rig::condition` gives it.
fn is(status: &str, reason: &str) -> Option<(String, String)> {
    Some((status.to_owned(), reason.to_owned()))
}
