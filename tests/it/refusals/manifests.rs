//! Manifests that are refused: every finding with its place, its reason and, where there is one, its fix.

use super::refuses;

#[test]
fn an_unknown_field_with_the_one_that_was_meant() {
    refuses(
        r##"apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: bad}
spec:
  tasks:
    - name: go
      dependOn: [prepare]
      script: echo ran >> $MARKS
"##,
        &[],
        r##"error: flow.yaml:7:7: spec.tasks[0].dependOn: unknown field "dependOn"; did you mean "dependsOn"?
  7 |       dependOn: [prepare]
    |       ^
"##,
    );
}

#[test]
fn a_cycle_is_drawn() {
    refuses(
        r##"apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: bad}
spec:
  tasks:
    - {name: start, script: echo ran >> $MARKS}
    - {name: a, dependsOn: [start, c], command: ["true"]}
    - {name: b, dependsOn: [a], command: ["true"]}
    - {name: c, dependsOn: [b], command: ["true"]}
"##,
        &[],
        r##"error: flow.yaml:7:36: spec.tasks[1].dependsOn[1]: a cycle, each waits for the next: a -> c -> b -> a; take out one of these dependencies
  7 |     - {name: a, dependsOn: [start, c], command: ["true"]}
    |                                    ^
"##,
    );
}

#[test]
fn an_unknown_dependency_with_the_one_that_was_meant() {
    refuses(
        r##"apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: bad}
spec:
  tasks:
    - {name: extract, script: echo ran >> $MARKS}
    - {name: load, dependsOn: [extrat], command: ["true"]}
"##,
        &[],
        r##"error: flow.yaml:7:32: spec.tasks[1].dependsOn[0]: unknown task "extrat"; did you mean "extract"?
  7 |     - {name: load, dependsOn: [extrat], command: ["true"]}
    |                                ^
"##,
    );
}

#[test]
fn expressions_that_are_not_cel() {
    refuses(
        r##"apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: bad}
spec:
  tasks:
    - {name: first, script: echo ran >> $MARKS}
    - name: go
      dependsOn: [first]
      when: params.n > && true
      command: [echo, $(tasks.first.)]
"##,
        &[],
        r##"error: flow.yaml:9:24: spec.tasks[1].when: this is not expected here
  9 |       when: params.n > && true
    |                        ^
flow.yaml:10:37: spec.tasks[1].command[1]: expected identifier after '.' (`$(` begins an expression of Relay; a literal `$(` is written `$$(`)
  10 |       command: [echo, $(tasks.first.)]
     |                                     ^
2 findings; nothing was run
"##,
    );
}

#[test]
fn a_reference_to_a_task_that_does_not_come_before() {
    refuses(
        r##"apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: bad}
spec:
  tasks:
    - {name: extract, script: echo ran >> $MARKS}
    - name: report
      env: [{name: ROWS, value: $(tasks.extract.outputs.rows)}]
      command: ["true"]
"##,
        &[],
        r##"error: flow.yaml:8:35: spec.tasks[1].env[0].value: "extract" does not come before "report", so its result is not there; add extract to dependsOn of report
  8 |       env: [{name: ROWS, value: $(tasks.extract.outputs.rows)}]
    |                                   ^
"##,
    );
}

#[test]
fn values_within_a_script() {
    refuses(
        r##"apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: bad}
spec:
  params: [{name: date, default: today}]
  tasks:
    - name: go
      script: |
        echo ran >> $MARKS
        load --day $(params.date)
    - name: by-shell
      command: [sh, -c, "load $(params.date)"]
"##,
        &[],
        r##"error: flow.yaml:10:20: spec.tasks[0].script: $(params.date) is not replaced in a script: values never become part of a program's text; add env: [{name: DATE, value: $(params.date)}] and write "$DATE"
  10 |         load --day $(params.date)
     |                    ^
flow.yaml:12:31: spec.tasks[1].command[2]: $(params.date) is not replaced in a script: values never become part of a program's text; add env: [{name: DATE, value: $(params.date)}] and write "$DATE"
  12 |       command: [sh, -c, "load $(params.date)"]
     |                               ^
2 findings; nothing was run
"##,
    );
}

#[test]
fn a_name_that_is_taken() {
    refuses(
        r##"apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: bad}
spec:
  tasks:
    - {name: go, script: echo ran >> $MARKS}
    - {name: go, script: echo ran >> $MARKS}
  finally:
    - {name: go, script: echo ran >> $MARKS}
"##,
        &[],
        r##"error: flow.yaml:7:14: spec.tasks[1].name: a second task called "go", the first is in line 6; names are unique over tasks and finally: rename one
  7 |     - {name: go, script: echo ran >> $MARKS}
    |              ^
flow.yaml:9:14: spec.finally[0].name: a second task called "go", the first is in line 6; names are unique over tasks and finally: rename one
  9 |     - {name: go, script: echo ran >> $MARKS}
    |              ^
2 findings; nothing was run
"##,
    );
}

#[test]
fn no_yaml_at_all() {
    refuses(
        r##"tasks:
  - name: go
   script: [unclosed
"##,
        &[],
        r##"error: flow.yaml:3:4: not YAML: while parsing a block collection, did not find expected '-' indicator
  3 |    script: [unclosed
    |    ^
"##,
    );
}

#[test]
fn an_empty_file() {
    refuses(
        r##""##,
        &[],
        r##"error: flow.yaml:1:1: there is no manifest in this file; write a Workflow: apiVersion: relay.works/v1alpha1, kind: Workflow, metadata, spec
"##,
    );
}

#[test]
fn a_file_of_comments() {
    refuses(
        r##"# only a comment

"##,
        &[],
        r##"error: flow.yaml:1:1: there is no manifest in this file; write a Workflow: apiVersion: relay.works/v1alpha1, kind: Workflow, metadata, spec
  1 | # only a comment
    | ^
"##,
    );
}

#[test]
fn objects_of_somebody_else() {
    refuses(
        r##"kind: Deployment
apiVersion: apps/v1
metadata: {name: x}
"##,
        &[],
        r##"error: flow.yaml:1:1: there is no Workflow or Run in this file; Relay's objects begin with apiVersion: relay.works/v1alpha1
  1 | kind: Deployment
    | ^
"##,
    );
}

#[test]
fn runs_that_do_not_fit_their_workflow() {
    refuses(
        r##"apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: bad}
spec:
  params: [{name: n, type: integer}]
  tasks: [{name: go, script: echo ran >> $MARKS}]
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {name: one}
spec: {workflowRef: {name: bad}, params: {n: some, m: 1}}
---
apiVersion: relay.works/v1alpha1
kind: Run
metadata: {name: two}
spec: {workflowRef: {name: bed}}
"##,
        &[],
        r##"error: flow.yaml:11:46: spec.params.n: a whole number is expected for "n", not the text "some"
  11 | spec: {workflowRef: {name: bad}, params: {n: some, m: 1}}
     |                                              ^
flow.yaml:11:52: spec.params.m: unknown param "m"; declared: n
  11 | spec: {workflowRef: {name: bad}, params: {n: some, m: 1}}
     |                                                    ^
flow.yaml:16:28: spec.workflowRef.name: there is no Workflow "bed" in this file; did you mean "bad"?
  16 | spec: {workflowRef: {name: bed}}
     |                            ^
3 findings; nothing was run
"##,
    );
}

#[test]
fn everything_at_once_in_the_order_of_the_file() {
    refuses(
        r##"apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: bad}
spec:
  params: [{name: n, type: number, default: many}]
  pol: default
  tasks:
    - {name: Go, script: echo ran >> $MARKS}
    - {name: a, dependsOn: [b], timeout: soon, command: ["true"]}
    - {name: c, command: [], script: echo ran >> $MARKS}
"##,
        &[],
        r##"error: flow.yaml:5:45: spec.params[0].default: a number is expected for "n", not the text "many"
  5 |   params: [{name: n, type: number, default: many}]
    |                                             ^
flow.yaml:6:3: spec.pol: unknown field "pol"; did you mean "pool"?
  6 |   pol: default
    |   ^
flow.yaml:8:14: spec.tasks[0].name: "Go" does not fit: 1 to 63 lower-case letters, digits and -, from a letter to a letter or digit; for example "go"
  8 |     - {name: Go, script: echo ran >> $MARKS}
    |              ^
flow.yaml:9:29: spec.tasks[1].dependsOn[0]: unknown task "b"
  9 |     - {name: a, dependsOn: [b], timeout: soon, command: ["true"]}
    |                             ^
flow.yaml:9:42: spec.tasks[1].timeout: "soon" is no duration; write it as Go does: 500ms, 10s, 5m, 1h30m (no days: 24h)
  9 |     - {name: a, dependsOn: [b], timeout: soon, command: ["true"]}
    |                                          ^
flow.yaml:10:26: spec.tasks[2].command: 0 elements, and at least 1 must be there
  10 |     - {name: c, command: [], script: echo ran >> $MARKS}
     |                          ^
6 findings; nothing was run
"##,
    );
}
