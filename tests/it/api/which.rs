//! Whose logs are shown when a Run was deleted and made anew, or was not accepted yet; and that none of them is missing.

use std::{sync::Arc, time::Duration};

use relay::api::logs::{Limits, Settled};
use relay::cli::logs::Which;
use relay::model::log::LogLine;
use tokio::sync::{Notify, watch};

use super::reader::{Bench, Knowing, Reader, at_once, job_of, line, seen};
use super::soon;

fn reader(bench: &Bench, which: &watch::Sender<Which>, follow: bool) -> Reader {
    let door = Knowing { address: bench.served.address, which: which.subscribe() };
    Reader::new(Box::new(door), "nightly", None, follow)
}

async fn refused(reader: Reader) -> String {
    format!("{:#}", reader.rest().await.expect_err("refused"))
}

#[tokio::test]
async fn a_run_that_was_made_anew_is_not_taken_for_the_one_before() {
    let bench = Bench::simple().await;
    bench.lines(vec![line(0, None, 1)]).await;
    let which = watch::Sender::new(seen("r", false, "Running"));
    assert_eq!(reader(&bench, &which, false).rest().await.expect("an answer"), ["[t0#1] line 1"]);

    which.send_replace(seen("again", false, "WorkflowMissing: there is no Workflow etl"));
    assert_eq!(
        refused(reader(&bench, &which, false)).await,
        "the Run `nightly` of namespace `data` has not been accepted yet: WorkflowMissing: there is no Workflow etl"
    );
    bench.begins("again", "nightly").await;
    bench.lines(vec![LogLine { job: job_of("again"), text: "anew".to_owned(), ..line(0, None, 1) }]).await;
    assert_eq!(reader(&bench, &which, false).rest().await.expect("an answer"), ["[t0#1] anew"]);
}

#[tokio::test]
async fn a_follower_waits_for_a_run_and_says_for_what() {
    let bench = Bench::new(Limits { appear: Duration::ZERO, ..Limits::default() }, at_once()).await;
    let which = watch::Sender::new(seen("later", false, ""));
    let mut follower = reader(&bench, &which, true);
    assert!(
        follower.note().await.contains("not been accepted yet: its status does not say why yet; waiting")
    );
    which.send_replace(seen("later", false, "PoolMissing: there is no pool"));
    assert!(follower.note().await.ends_with("PoolMissing: there is no pool; waiting for it"));
    bench.begins("later", "nightly").await;
    bench.lines(vec![LogLine { job: job_of("later"), ..line(0, None, 1) }]).await;
    assert_eq!(follower.line().await, "[t0#1] line 1");
}

#[tokio::test]
async fn a_run_that_never_began_ends_its_follower() {
    let bench = Bench::new(Limits { appear: Duration::ZERO, ..Limits::default() }, at_once()).await;
    let which = watch::Sender::new(seen("never", true, "InvalidParams: no such param"));
    let mut follower = reader(&bench, &which, true);
    assert!(follower.note().await.contains("the operator's --retention; its status: InvalidParams"));
    assert_eq!(follower.rest().await.expect("it ends well"), Vec::<String>::new());
    which.send_replace(seen("never", false, "WorkflowMissing"));
    let mut follower = reader(&bench, &which, true);
    follower.note().await;
    which.send_replace(Which::Absent);
    assert!(refused(follower).await.contains("was deleted before it was accepted"));
}

#[tokio::test]
async fn whoever_may_not_read_the_run_is_told_which_one_is_shown() {
    let bench = Bench::simple().await;
    bench.lines(vec![line(0, None, 1)]).await;
    let which = watch::Sender::new(Which::Hidden("runs is forbidden".to_owned()));
    let mut hidden = reader(&bench, &which, false);
    let note = hidden.note().await;
    assert!(note.contains("shown is the newest run of this name, r, begun at 20"), "{note}");
    assert!(
        note.contains("the right to get runs.relay.works in namespace `data`: runs is forbidden"),
        "{note}"
    );
    assert_eq!(hidden.rest().await.expect("an answer"), ["[t0#1] line 1"]);
    which.send_replace(Which::Absent);
    let note = reader(&bench, &which, false).note().await;
    assert!(note.contains("there is no Run `nightly` in namespace `data` any longer; shown is"), "{note}");
}

#[tokio::test]
async fn lines_of_a_run_that_has_ended_are_waited_for_without_following_too() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tells, waits) = (asked.clone(), go.clone());
    let settled: Settled = Arc::new(move |_| {
        let (tells, waits) = (tells.clone(), waits.clone());
        Box::pin(async move {
            tells.notify_one();
            waits.notified().await;
        })
    });
    let bench = Bench::new(Limits::default(), settled).await;
    bench.lines(vec![line(0, None, 1)]).await;
    // Nobody waits for a run that goes on.
    assert_eq!(bench.printed(None).await, ["[t0#1] line 1"]);
    bench.ends(true).await;
    let reader = bench.reader(None, false);
    soon(asked.notified()).await;
    bench.lines(vec![line(0, None, 2)]).await;
    go.notify_one();
    assert_eq!(reader.rest().await.expect("it ends well"), ["[t0#1] line 1", "[t0#1] line 2"]);
}

#[tokio::test]
async fn lines_that_may_be_missing_are_an_error_behind_those_that_are_there() {
    let never: Settled = Arc::new(|_| Box::pin(std::future::pending()));
    let bench = Bench::new(Limits { settle: Duration::from_millis(50), ..Limits::default() }, never).await;
    bench.lines(vec![line(0, None, 1)]).await;
    bench.ends(true).await;
    let mut reader = bench.reader(None, false);
    assert_eq!(reader.line().await, "[t0#1] line 1");
    let why = refused(reader).await;
    assert!(why.contains("it is not known whether its last lines are in the store"), "{why}");
}
