//! Manifests that have the right shape and make no sense: each finding with its place, its reason and its fix.

use super::{COMPLETE, findings, read, refused, tasks_refused, with_tasks};

#[test]
fn the_designs_manifest_is_valid() {
    let manifests = read(COMPLETE).expect("valid");
    let workflow = &manifests.workflows[0].workflow;
    assert_eq!(workflow.id.as_str().split('@').next(), Some("data/nightly-etl"));
    let names: Vec<&str> = workflow.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["extract", "check", "publish", "notify"]);
    assert_eq!(manifests.runs[0].params["regions"], serde_json::json!(["eu", "us"]));
    assert_eq!(manifests.pools[0].name, "default");
    assert_eq!(
        manifests.notices,
        [
            "WorkerPool: tasks run on this machine; what its spec says needs a cluster and is ignored here",
            "line 41: ignored, not one of Relay's: kind \"ConfigMap\" of \"v1\"",
        ]
    );
}

#[test]
fn names_are_unique_also_in_expressions() {
    let mut text = with_tasks("- name: load-data\n- name: other\n- name: load-data");
    text += "  finally:\n    - name: other\n";
    refused(
        &text,
        &[
            "9:13: spec.tasks[2].name: a second task called \"load-data\", the first is in line 7; names are unique over tasks and finally: rename one",
            "11:13: spec.finally[0].name: a second task called \"other\", the first is in line 8; names are unique over tasks and finally: rename one",
        ],
    );
    tasks_refused(
        "- name: in",
        &["7:13: spec.tasks[0].name: \"in\" is a word that CEL keeps for itself; for example \"in-task\""],
    );
}

#[test]
fn dependencies_lead_somewhere() {
    let text =
        with_tasks("- name: extract\n- name: check\n  dependsOn: [exract, check, extract, extract, notify]");
    refused(
        &format!("{text}  finally:\n    - {{name: notify, dependsOn: [extract]}}\n"),
        &[
            "9:19: spec.tasks[1].dependsOn[0]: unknown task \"exract\"; did you mean \"extract\"?",
            "9:27: spec.tasks[1].dependsOn[1]: a task cannot depend on itself; remove it",
            "9:43: spec.tasks[1].dependsOn[3]: \"extract\" is named twice; remove one",
            "9:52: spec.tasks[1].dependsOn[4]: \"notify\" is a finally task; finally comes after all tasks: move one of the two",
            "11:34: spec.finally[0].dependsOn[0]: \"extract\" is not a finally task; a finally task starts after all tasks anyway: remove it",
        ],
    );
}

#[test]
fn cycles_are_drawn_each_once() {
    tasks_refused(
        "- {name: a, dependsOn: [c]}\n- {name: b, dependsOn: [a]}\n- {name: c, dependsOn: [b]}\n\
         - {name: behind, dependsOn: [c]}\n- {name: x, dependsOn: [y]}\n- {name: y, dependsOn: [x]}",
        &[
            "7:29: spec.tasks[0].dependsOn[0]: a cycle, each waits for the next: a -> c -> b -> a; take out one of these dependencies",
            "11:29: spec.tasks[4].dependsOn[0]: a cycle, each waits for the next: x -> y -> x; take out one of these dependencies",
        ],
    );
    let ring: String =
        (0..100).map(|n| format!("- {{name: t{n}, dependsOn: [t{}]}}\n", (n + 1) % 100)).collect();
    let found = findings(&with_tasks(&ring));
    assert!(found[0].contains("t0 -> t1 -> t2") && found[0].contains("t11 -> ... -> t0"), "{found:?}");
    assert_eq!(found.len(), 1);
}

#[test]
fn expressions_name_only_what_they_see() {
    tasks_refused(
        "- name: a\n- name: b\n  when: tasks.a.status == 'SUCCESS' && tasks.c.reason == ''\n- name: c\n  dependsOn: [b]\n\
         - name: d\n  dependsOn: [c]\n  when: tasks.b.output.x && tasks.z.status == '' && params.dat == date\n",
        &[
            "9:13: spec.tasks[1].when: \"a\" does not come before \"b\", so its result is not there; add a to dependsOn of b",
            "9:44: spec.tasks[1].when: \"c\" does not come before \"b\", so its result is not there; c waits for b: turn the dependency round",
            "14:13: spec.tasks[3].when: tasks.b has no field \"output\"; did you mean \"outputs\"?",
            "14:33: spec.tasks[3].when: unknown task \"z\"",
            "14:57: spec.tasks[3].when: unknown param \"dat\"; did you mean \"date\"?",
            "14:71: spec.tasks[3].when: unknown name \"date\"; did you mean params.date?",
        ],
    );
}

#[test]
fn a_dash_in_a_tasks_name_is_an_underscore_in_expressions() {
    let good = "- name: load-data\n- {name: b, dependsOn: [load-data], when: tasks.load_data.outputs.n > 1}";
    assert_eq!(findings(&with_tasks(good)), [] as [&str; 0]);
}

#[test]
fn finally_and_outputs_see_every_task_but_no_later_one() {
    let text = with_tasks("- {name: a, when: tasks.last.status == ''}\n- name: b");
    refused(
        &format!(
            "{text}  outputs: [{{name: x, value: tasks.b.outputs.x}}, {{name: y, value: tasks.nobody.outputs}}]\n  \
             finally:\n    - {{name: first, when: tasks.a.status == tasks.b.status}}\n    \
             - {{name: last, when: tasks.first.status == ''}}\n"
        ),
        &[
            "7:23: spec.tasks[0].when: \"last\" is a finally task: it comes after \"a\"; move one of the two",
            "9:67: spec.outputs[1].value: unknown task \"nobody\"",
            "12:26: spec.finally[1].when: \"first\" does not come before \"last\", so its result is not there; add first to dependsOn of last",
        ],
    );
}

#[test]
fn the_element_is_seen_only_where_there_is_one() {
    tasks_refused(
        "- name: a\n  forEach: {from: params.list, as: region}\n  when: region == 'eu'\n  approval: {message: \"$(region)?\"}\n  \
         command: [echo, $(region), $(index), $(regio)]\n- name: b\n  command: [echo, $(index), $(item)]\n\
         - {name: c, forEach: {from: params.list, as: tasks}}",
        &[
            "9:13: spec.tasks[0].when: when does not see region: it is evaluated once, before forEach expands; use it in env or command, or filter the list in forEach.from",
            "10:30: spec.tasks[0].approval.message: approval.message does not see region: it is evaluated once, before forEach expands; use it in env or command, or filter the list in forEach.from",
            "11:46: spec.tasks[0].command[3]: unknown name \"regio\"; did you mean \"region\"?",
            "13:25: spec.tasks[1].command[1]: index is known in a task with forEach only; known here: params, tasks, run",
            "13:35: spec.tasks[1].command[2]: unknown name \"item\"; known here: params, tasks, run",
            "14:50: spec.tasks[2].forEach.as: \"tasks\" means something else in expressions; choose another name",
        ],
    );
    let standard = "- {name: a, forEach: {from: params.list}, command: [echo, $(item)]}";
    assert_eq!(findings(&with_tasks(standard)), [] as [&str; 0]);
}

#[test]
fn values_never_become_part_of_a_script() {
    tasks_refused(
        "- name: a\n  script: |\n    now=$(date)\n    echo $(params.date)\n- name: b\n  command: [env, X=1, bash, -lc, 'echo $(date) $(tasks.a.outputs.n)']\n\
         - name: c\n  command: [sh, -c, 'echo $(date) \"$1\"', sh, $(params.date)]",
        &[
            "10:14: spec.tasks[0].script: $(params.date) is not replaced in a script: values never become part of a program's text; add env: [{name: DATE, value: $(params.date)}] and write \"$DATE\"",
            "12:52: spec.tasks[1].command[4]: $(tasks.a.outputs.n) is not replaced in a script: values never become part of a program's text; add env: [{name: N, value: $(tasks.a.outputs.n)}] and write \"$N\"",
        ],
    );
}

#[test]
fn a_shells_own_substitution_reaches_the_shell_as_it_is() {
    let manifests =
        read(&with_tasks("- {name: c, command: [sh, -c, 'echo $(date) $$(x) $$']}")).expect("valid");
    let relay::model::task::Action::Command(argv) = &manifests.workflows[0].workflow.tasks[0].action else {
        panic!("a command")
    };
    let rendered = argv[2].render(&relay::model::expr::Scope::new()).expect("text");
    assert_eq!(rendered, "echo $(date) $$(x) $$");
}

#[test]
fn bad_expressions_are_placed_within_the_text() {
    let text = with_tasks(
        "- name: a\n  when: params.date ==\n- name: b\n  env: [{name: X, value: 'day $(params.date'}]\n  command: [x]\n\
         - name: c\n  when: |\n    params.date == 'x' &&\n      nothing\n- name: d\n  when: $(params.date == 'x')",
    );
    let found = findings(&text);
    for (place, words) in [
        ("8:", "spec.tasks[0].when: "),
        ("10:35: ", "spec.tasks[1].env[0].value: `$(` is never closed"),
        ("15:11: ", "spec.tasks[2].when: unknown name \"nothing\""),
        ("17:13: ", "this field is CEL as it is: write params.date == 'x'"),
    ] {
        assert!(
            found.iter().any(|finding| finding.starts_with(place) && finding.contains(words)),
            "{place} {found:#?}"
        );
    }
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn a_task_has_one_thing_to_run_or_is_a_gate() {
    tasks_refused(
        "- {name: a, command: [x], script: x}\n- {name: b, timeout: 1m, env: [{name: X, value: x}], onWorkerLost: Fail}\n- {name: gate}\n- {name: d, command: [\" \"]}",
        &[
            "7:31: spec.tasks[0].script: a task has one of command and script, not both; keep one of the two",
            "8:17: spec.tasks[1].timeout: timeout has no effect: without command or script, \"b\" runs nothing; add command or script, or remove timeout",
            "8:30: spec.tasks[1].env: env has no effect: without command or script, \"b\" runs nothing; add command or script, or remove env",
            "8:58: spec.tasks[1].onWorkerLost: onWorkerLost has no effect: without command or script, \"b\" runs nothing; add command or script, or remove onWorkerLost",
            "10:27: spec.tasks[3].command[0]: the program's name is empty; name the program to run",
        ],
    );
}

#[test]
fn environment_names_are_single_and_not_relays() {
    tasks_refused(
        "- name: a\n  command: [x]\n  env: [{name: A, value: x}, {name: A, value: y}, {name: RELAY_RUN, value: x}]\n  outputs: [{name: n}, {name: n, type: integer}]",
        &[
            "9:41: spec.tasks[0].env[1].name: a second variable called \"A\"; keep one",
            "9:62: spec.tasks[0].env[2].name: \"RELAY_RUN\" is Relay's: names with RELAY_ are set by the worker; choose another name",
            "10:35: spec.tasks[0].outputs[1].name: a second output called \"n\"; rename one",
        ],
    );
}

#[test]
fn times_and_tries_have_bounds() {
    tasks_refused(
        "- name: a\n  command: [x]\n  timeout: 0s\n  approval: {onTimeout: Skip}\n  retry: {limit: 3, delay: 10m, maxDelay: 1m, onlyOn: [Error], exitCodes: [1]}\n\
         - {name: b, command: [x], timeout: 8761h, retry: {limit: 1, delay: 25h}}",
        &[
            "9:16: spec.tasks[0].timeout: a timeout of nothing; leave it out for no bound",
            "10:29: spec.tasks[0].approval.onTimeout: onTimeout has no effect without timeout; add timeout: 24h",
            "11:47: spec.tasks[0].retry.maxDelay: 1m is shorter than delay, 10m; make maxDelay the longer one",
            "11:79: spec.tasks[0].retry.exitCodes: exitCodes has no effect: onlyOn does not name ExitCode; add ExitCode to onlyOn",
            "12:40: spec.tasks[1].timeout: 8761h is too long; 8760h is the most",
            "12:72: spec.tasks[1].retry.delay: 25h is too long; 24h is the most",
        ],
    );
}

#[test]
fn declared_params_make_sense() {
    let text = with_tasks("- name: a").replace(
        "params: [{name: date}, {name: list, type: array, default: []}]",
        "params: [{name: a, pattern: '['}, {name: a}, {name: n, type: integer, default: '5', enum: [1, x]}, {name: in}, \
         {name: c, enum: [red, green], default: blue}, {name: b, type: boolean, pattern: x}, {name: p, pattern: ^a$, default: b}]",
    );
    refused(
        &text,
        &[
            "5:31: spec.params[0].pattern: no regular expression: unclosed character class",
            "5:44: spec.params[1].name: a second param called \"a\"; rename one",
            "5:82: spec.params[2].default: a whole number is expected for \"n\", not the text \"5\"",
            "5:97: spec.params[2].enum[1]: a whole number is expected for \"n\", not the text \"x\"",
            "5:109: spec.params[3].name: \"in\" is a word that CEL keeps for itself; for example in_value",
            "5:153: spec.params[4].default: \"blue\" is none of the values of \"c\": \"red\" or \"green\"",
            "5:194: spec.params[5].pattern: a pattern has no meaning for type boolean; remove it, or make the type string",
            "5:231: spec.params[6].default: \"b\" does not match the pattern ^a$ of \"p\"",
        ],
    );
}

#[test]
fn more_than_two_thousand_tasks_are_refused() {
    let tasks: String = (0..1500).map(|n| format!("- {{name: t{n}}}\n")).collect();
    let more: String = (0..501).map(|n| format!("    - {{name: f{n}}}\n")).collect();
    let text = format!("{}  finally:\n{more}", with_tasks(&tasks));
    refused(
        &text,
        &["7:5: spec.tasks: 2001 tasks with finally, and 2000 are allowed; use forEach for what repeats"],
    );
    let list: String = (0..2001).map(|n| format!("- {{name: t{n}}}\n")).collect();
    refused(&with_tasks(&list), &["7:5: spec.tasks: 2001 elements, and 2000 are allowed; split it"]);
}

#[test]
fn two_thousand_tasks_in_a_chain_are_fine() {
    let tasks: String = (1..2000)
        .map(|n| format!("- {{name: t{n}, dependsOn: [t{}], when: tasks.t0.status != ''}}\n", n - 1))
        .collect();
    let manifests = read(&with_tasks(&format!("- name: t0\n{tasks}"))).expect("valid");
    assert_eq!(manifests.workflows[0].workflow.tasks.len(), 2000);
}

#[test]
fn shape_and_sense_are_judged_in_one_go() {
    tasks_refused(
        "- name: a\n  dependson: [b]\n  dependsOn: [c]\n  timeout: 10\n- name: b\n  dependsOn: [a]\n- name: c\n  dependsOn: [b, gone, Bad]\n- name: Bad",
        &[
            "8:7: spec.tasks[0].dependson: unknown field \"dependson\"; did you mean \"dependsOn\"?",
            "9:19: spec.tasks[0].dependsOn[0]: a cycle, each waits for the next: a -> c -> b -> a; take out one of these dependencies",
            "10:16: spec.tasks[0].timeout: a duration is expected, not the number 10; write 10s for 10 seconds",
            "14:22: spec.tasks[2].dependsOn[1]: unknown task \"gone\"",
            "14:28: spec.tasks[2].dependsOn[2]: \"Bad\" does not fit: 1 to 63 lower-case letters, digits and -, from a letter to a letter or digit; for example \"bad\"",
            "15:13: spec.tasks[3].name: \"Bad\" does not fit: 1 to 63 lower-case letters, digits and -, from a letter to a letter or digit; for example \"bad\"",
        ],
    );
}

#[test]
fn what_a_finding_took_out_is_not_missed_elsewhere() {
    // `b` has no readable dependsOn, `list` no readable type: nobody can say that they are wrong elsewhere.
    let text = with_tasks("- name: a\n- {name: b, dependsOn: a, when: tasks.a.status == ''}\n- {name: 5}\n- {name: d, dependsOn: ['5']}")
        .replace("type: array", "type: list");
    let found = findings(&text);
    let paths: Vec<&str> = found.iter().filter_map(|finding| finding.split(": ").nth(1)).collect();
    assert_eq!(
        paths,
        [
            "spec.params[1].type",
            "spec.tasks[1].dependsOn",
            "spec.tasks[2].name",
            "spec.tasks[3].dependsOn[0]"
        ],
        "{found:#?}"
    );
}
