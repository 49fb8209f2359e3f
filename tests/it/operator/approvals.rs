//! Annotations that approve: read to the end whatever they say, and judged by what is known.

use std::collections::BTreeMap;

use proptest::prelude::*;
use relay::crd::status::Disregarded;
use relay::model::ids::TaskKey;
use relay::model::task_run::{ApprovalRow, Decision};
use relay::model::view::Asking;
use relay::operator::approvals::{Heard, Judgement, Line, Word, judge, lines};

use super::second;

fn read(value: &str) -> Vec<Line> {
    lines(&BTreeMap::from([("approval.relay.works/publish".to_owned(), value.to_owned())]))
}

/// The words of a value; for each line that says nothing, why.
fn words(value: &str) -> Vec<Result<Word, &'static str>> {
    read(value).into_iter().map(|line| line.word).collect()
}

fn word(
    decision: Decision,
    asking: Option<u32>,
    user: &str,
    note: Option<&str>,
) -> Result<Word, &'static str> {
    Ok(Word { decision, asking, user: user.to_owned(), note: note.map(str::to_owned) })
}

#[test]
fn lines_say_who_decides_what_of_which_asking() {
    use Decision::{Approved, Rejected};
    assert_eq!(words("approved"), [word(Approved, None, "unknown", None)]);
    assert_eq!(words(" rejected \n"), [word(Rejected, None, "unknown", None)]);
    let many = "approved 1 ann\r\n\nrejected 2 system%3Aserviceaccount%3Aci%3Abot  not yet, sorry ";
    let expected = [
        word(Approved, Some(1), "ann", None),
        word(Rejected, Some(2), "system:serviceaccount:ci:bot", Some("not yet, sorry")),
    ];
    assert_eq!(words(many), expected);
    assert_eq!(words("approved 1 J%C3%BCrgen"), [word(Approved, Some(1), "Jürgen", None)]);
}

#[test]
fn what_says_nothing_is_named() {
    let nonsense = [
        "",
        " ",
        "yes",
        "Approved",
        "approved 0 ann",
        "approved -1 ann",
        "approved +1 ann",
        "approved x ann",
        "approved 99999999999 ann",
        "approved 1",
        "approved 1 ",
        "approved 1 %",
        "approved 1 %4",
        "approved 1 %zz",
        "approved 1 %ff",
        "approved 1 a%00b",
        "approved 1 a%0ab",
        "approved  1 ann",
        "\u{202e}approved",
    ];
    for value in nonsense {
        assert!(matches!(words(value)[..], [Err(_)]), "{value:?}: {:?}", words(value));
    }
    assert!(words(&format!("approved 1 {}", "a".repeat(254)))[0].is_err());
    assert!(words(&format!("approved 1 ann {}", "a".repeat(3_000)))[0].is_err());
    assert_eq!(read(&"approved\n".repeat(1_000)).len(), 100, "and no more are read");
}

#[test]
fn other_annotations_are_none() {
    let others =
        ["approval.relay.works", "relay.works/approval", "approvalrelay.works/a", "x/approval.relay.works/a"];
    let others = others.map(|key| (key.to_owned(), "approved".to_owned()));
    assert_eq!(lines(&BTreeMap::from(others)), []);
}

proptest! {
    #[test]
    fn no_text_is_too_odd(key in "(approval\\.relay\\.works/)?\\PC{0,80}", value in any::<String>()) {
        let all = lines(&BTreeMap::from([(key, value)]));
        for line in &all {
            prop_assert!(line.text.chars().count() <= 256);
            let heard = Heard { askings: &[], is_task: true, said: Some(&[]), disregarded: &[] };
            prop_assert!(matches!(judge(line, &heard), Judgement::Disregard(_)), "nothing asks");
        }
    }

    #[test]
    fn nearly_right_text_is_not_too_odd_either(
        value in "(approved|rejected|[a-z]{3}) ?[0-9]{0,12} ?(%[0-9a-fA-F%]{0,3}|[a-zé:/]){0,8} ?\\PC{0,9}"
    ) {
        for line in read(&value) {
            if let Ok(word) = line.word {
                prop_assert!(!word.user.is_empty() && word.asking != Some(0));
            }
        }
    }
}

fn asking(number: u32) -> Asking {
    let (question, words, since, until) = (None, Vec::new(), None, None);
    Asking { task: "publish".to_owned(), number, question, required: 1, words, since, until }
}

fn said(user: &str, decision: Decision, round: u32) -> ApprovalRow {
    let key = TaskKey { task: 1, item: None, round };
    ApprovalRow { key, user: user.to_owned(), decision, note: None, verified: false, at: second(0) }
}

fn judged(value: &str, open: Option<u32>, said: Option<&[ApprovalRow]>, before: &[Disregarded]) -> Judgement {
    let askings: Vec<Asking> = open.into_iter().map(asking).collect();
    let heard = Heard { askings: &askings, is_task: true, said, disregarded: before };
    judge(&read(value)[0], &heard)
}

fn decides(judgement: &Judgement, in_asking: u32) -> bool {
    matches!(judgement, Judgement::Decide(_, asking) if *asking == in_asking)
}

fn because(judgement: Judgement) -> String {
    match judgement {
        Judgement::Disregard(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_word_decides_in_the_asking_that_is_open() {
    assert!(decides(&judged("approved", Some(1), None, &[]), 1));
    assert!(decides(&judged("approved 1 ann", Some(1), None, &[]), 1));
    assert!(because(judged("approved 2 ann", Some(1), None, &[])).contains("asking 1 is open"));
    assert!(because(judged("approved", None, Some(&[]), &[])).contains("set it again when the task asks"));
    assert!(because(judged("nonsense", Some(1), None, &[])).contains("cannot be read"));
    let line = &read("approved")[0];
    let stranger = Heard { askings: &[asking(1)], is_task: false, said: None, disregarded: &[] };
    assert!(because(judge(line, &stranger)).contains("no task publish"));
}

#[test]
fn what_was_said_before_is_asked_for_where_it_matters() {
    assert_eq!(judged("approved", None, None, &[]), Judgement::Ask);
    assert_eq!(judged("approved", Some(2), None, &[]), Judgement::Ask);
    let unknown = [said("unknown", Decision::Approved, 1)];
    assert_eq!(judged("approved", None, Some(&unknown), &[]), Judgement::Known);
    // It was for the first asking, and decides nothing in the second.
    assert_eq!(judged("approved", Some(2), Some(&unknown), &[]), Judgement::Known);
    assert!(decides(&judged("rejected", Some(2), Some(&unknown), &[]), 2));
    let ann = [said("ann", Decision::Approved, 1)];
    assert_eq!(judged("approved 1 ann", None, Some(&ann), &[]), Judgement::Known);
    assert!(decides(&judged("approved 2 ann", Some(2), Some(&ann), &[]), 2));
}

#[test]
fn what_was_disregarded_stays_so_until_it_is_changed() {
    let reason = "it was too early".to_owned();
    let before =
        [Disregarded { task: "publish".to_owned(), value: "approved".to_owned(), reason: reason.clone() }];
    assert_eq!(judged("approved", Some(1), None, &before), Judgement::Disregard(reason));
    assert!(decides(&judged("approved 1 ann", Some(1), None, &before), 1));
}

#[test]
fn what_was_said_in_the_asking_that_is_open_is_known_after_a_restart() {
    let open = Asking { required: 2, words: vec![said("ann", Decision::Approved, 1)], ..asking(1) };
    let judged = |value: &str| {
        judge(
            &read(value)[0],
            &Heard { askings: std::slice::from_ref(&open), is_task: true, said: None, disregarded: &[] },
        )
    };
    assert_eq!(judged("approved 1 ann"), Judgement::Known);
    assert!(decides(&judged("approved 1 bob"), 1));
    assert!(decides(&judged("rejected 1 ann"), 1));
}
