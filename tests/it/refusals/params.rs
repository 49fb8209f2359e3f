//! Params that are refused.

use super::{Desk, refused, refuses};

const FLOW: &str = r##"apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: bad}
spec:
  params:
    - {name: date}
    - {name: count, type: integer}
  tasks:
    - {name: go, script: echo ran >> $MARKS}
"##;

#[test]
fn missing_ones() {
    refuses(
        FLOW,
        &[],
        r##"error: flow.yaml:6:7: spec.params[0]: param "date" has no value and no default (text); give it with -p date=...
flow.yaml:7:7: spec.params[1]: param "count" has no value and no default (a whole number); give it with -p count=...
2 findings; nothing was run
"##,
    );
}

#[test]
fn one_of_another_type() {
    refuses(
        FLOW,
        &["-p", "date=2026", "-p", "count=many"],
        r##"error: -p count: a whole number is expected for "count", not "many"; write JSON: -p count=5
"##,
    );
}

#[test]
fn one_that_is_not_declared() {
    refuses(
        FLOW,
        &["-p", "date=2026", "-p", "coun=1", "-p", "count=1"],
        r##"error: -p coun: unknown param "coun"; did you mean "count"?
"##,
    );
}

#[test]
fn a_flag_without_a_value() {
    refuses(
        FLOW,
        &["-p", "date"],
        r##"error: -p: "date" gives no value; write -p name=value
"##,
    );
}

#[test]
fn a_file_of_params_that_cannot_be_used() {
    let desk = Desk::new(FLOW);
    desk.write("broken.yaml", "date: [unclosed\n");
    desk.write("list.yaml", "- date\n");
    desk.write("more.yaml", "date: 2026-11-20\ncount: 3\nregion: eu\n");
    let not_yaml = r##"error: broken.yaml:1:7: not YAML: unclosed bracket '['
  1 | date: [unclosed
    |       ^
"##;
    assert_eq!(refused(&desk, &["--params", "broken.yaml"]), not_yaml);
    let list = r##"error: list.yaml:1:1: an object of params is expected, not a list; write name: value
  1 | - date
    | ^
"##;
    assert_eq!(refused(&desk, &["--params", "list.yaml"]), list);
    let more = r##"error: more.yaml:3:1: region: unknown param "region"; declared: date or count
  3 | region: eu
    | ^
"##;
    assert_eq!(refused(&desk, &["--params", "more.yaml"]), more);
    let absent = "error: absent.yaml: there is no such file\n";
    assert_eq!(refused(&desk, &["--params", "absent.yaml"]), absent);
    let directory = "error: .: this is a directory; name a file in it\n";
    assert_eq!(refused(&desk, &["--params", "."]), directory);
}
