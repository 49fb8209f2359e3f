//! The logs of runs: every line once, in order, while they are written and afterwards.

use std::sync::Arc;

use relay::api::logs::Limits;
use tokio::{io::AsyncReadExt as _, sync::Notify};
use tokio_util::task::TaskTracker;

use super::reader::{Bench, Cut, Reader, Straight, at_once, job_of, line, short};
use super::{Served, soon};

const PATH: &str = "/api/v1/namespaces/data/runs/nightly/logs";

#[tokio::test]
async fn lines_come_in_the_order_in_which_they_were_stored() {
    let bench = Bench::simple().await;
    assert_eq!(bench.printed(None).await, Vec::<String>::new());
    bench.lines(vec![line(0, None, 1), line(1, None, 1), line(0, None, 2)]).await;
    bench.lines(vec![line(2, Some(1), 1), line(2, Some(0), 1)]).await;
    let all = ["[t0#1] line 1", "[t1#1] line 1", "[t0#1] line 2", "[t2/1#1] line 1", "[t2/0#1] line 1"];
    assert_eq!(bench.printed(None).await, all);
    assert_eq!(bench.printed(Some("t0")).await, ["line 1", "line 2"]);
    assert_eq!(bench.printed(Some("t2")).await, ["[t2/1#1] line 1", "[t2/0#1] line 1"]);
    assert_eq!(bench.printed(Some("t2/0")).await, ["[t2/0#1] line 1"]);
    assert_eq!(bench.printed(Some("t3")).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_goes_on_behind_a_cursor_and_ends_at_a_limit() {
    let bench = Bench::simple().await;
    bench.lines((1..=7).map(|number| line(0, None, number)).collect()).await;
    let entries = async |query: &str| -> Vec<serde_json::Value> {
        let (status, body) = bench.served.gets(&format!("{PATH}?{query}")).await;
        assert_eq!(status, 200, "{body}");
        // Chunks have their lengths on lines of their own.
        let objects = body.lines().filter(|line| line.starts_with('{'));
        objects.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let first = entries("limit=3").await;
    assert_eq!(first.len(), 3);
    assert_eq!(first[0]["task"], "t0");
    assert_eq!(first[0]["stream"], "stdout");
    let rest = entries(&format!("after={}", first[2]["cursor"])).await;
    let texts: Vec<_> = rest.iter().map(|entry| entry["text"].as_str().expect("text")).collect();
    assert_eq!(texts, ["line 4", "line 5", "line 6", "line 7"]);
    assert_eq!(entries("limit=0").await.len(), 0);
}

#[tokio::test]
async fn a_follower_gets_each_line_once_until_the_run_has_ended() {
    let bench = Bench::simple().await;
    bench.lines(vec![line(0, None, 1), line(0, None, 2)]).await;
    let mut reader = bench.reader(None, true);
    assert_eq!(reader.line().await, "[t0#1] line 1");
    assert_eq!(reader.line().await, "[t0#1] line 2");
    for number in 3..=40 {
        bench.lines(vec![line(0, None, number)]).await;
    }
    for number in 3..=40 {
        assert_eq!(reader.line().await, format!("[t0#1] line {number}"));
    }
    bench.lines(vec![line(1, None, 1)]).await;
    bench.ends(true).await;
    assert_eq!(reader.rest().await.expect("it ends well"), ["[t1#1] line 1"]);
}

#[tokio::test]
async fn a_follower_needs_no_feed() {
    let bench = Bench::new(short(), at_once()).await;
    let mut reader = bench.reader(Some("t0"), true);
    bench.quiet_lines(&[line(0, None, 1), line(1, None, 1)]).await;
    assert_eq!(reader.line().await, "line 1");
    bench.quiet_lines(&[line(0, None, 2)]).await;
    assert_eq!(reader.line().await, "line 2");
    bench.ends(false).await;
    assert_eq!(reader.rest().await.expect("it ends well"), Vec::<String>::new());
}

#[tokio::test]
async fn lines_that_are_still_on_their_way_when_the_run_ends_are_waited_for() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tells, waits) = (asked.clone(), go.clone());
    let settled: relay::api::logs::Settled = Arc::new(move |namespace| {
        assert_eq!(namespace, "data");
        let (tells, waits) = (tells.clone(), waits.clone());
        Box::pin(async move {
            tells.notify_one();
            waits.notified().await;
        })
    });
    let bench = Bench::new(Limits::default(), settled).await;
    let reader = bench.reader(None, true);
    bench.ends(true).await;
    soon(asked.notified()).await;
    bench.lines(vec![line(0, None, 1)]).await;
    go.notify_one();
    assert_eq!(reader.rest().await.expect("it ends well"), ["[t0#1] line 1"]);
}

#[tokio::test]
async fn a_follower_waits_a_little_for_a_run_that_is_not_there_yet() {
    let bench = Bench::simple().await;
    let mut reader = Reader::new(Box::new(Straight(bench.served.address)), "later", None, true);
    // It was told nothing yet, for nothing is there.
    tokio::task::yield_now().await;
    bench.begins("later-id", "later").await;
    bench.lines(vec![relay::model::log::LogLine { job: job_of("later-id"), ..line(0, None, 1) }]).await;
    assert_eq!(reader.line().await, "[t0#1] line 1");
}

#[tokio::test]
async fn a_follower_goes_on_where_its_connection_broke() {
    let bench = Bench::simple().await;
    bench.lines(vec![line(0, None, 1)]).await;
    let scissors = Arc::new(Notify::new());
    let pipes = TaskTracker::new();
    let door = Cut { address: bench.served.address, scissors: scissors.clone(), pipes: pipes.clone() };
    let mut reader = Reader::new(Box::new(door), "nightly", Some("t0"), true);
    assert_eq!(reader.line().await, "line 1");
    scissors.notify_waiters();
    bench.lines(vec![line(0, None, 2), line(0, None, 3)]).await;
    assert_eq!(reader.line().await, "line 2");
    assert_eq!(reader.line().await, "line 3");
    bench.ends(true).await;
    assert_eq!(reader.rest().await.expect("it ends well"), Vec::<String>::new());
    pipes.close();
    soon(pipes.wait()).await;
}

#[tokio::test]
async fn what_is_not_there_is_said_with_the_way_to_find_it() {
    let bench = Bench::simple().await;
    let refused = async |run: &str, task: Option<&str>| {
        let door = Cut { address: bench.served.address, scissors: Arc::default(), pipes: TaskTracker::new() };
        let reader = Reader::new(Box::new(door), run, task, false);
        format!("{:#}", reader.rest().await.expect_err("refused"))
    };
    assert_eq!(
        refused("nigthly", None).await,
        "no run `nigthly` of namespace `data` has been accepted yet; `kubectl get runs.relay.works -n data` \
         lists them, and the status of one that waits says why. One that ended longer ago than the operator's \
         --retention was removed with its logs"
    );
    assert_eq!(
        refused("nightly", Some("t20")).await,
        "the run has no task `t20`; it has t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11"
    );
}

#[tokio::test]
async fn refusals_are_json_with_the_field_the_reason_and_the_fix() {
    let bench = Bench::simple().await;
    let error = async |served: &Served, method: &str, path: &str| {
        let (status, body) = served.asks(method, path).await;
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        (status, body["error"].as_str().expect("an error").to_owned())
    };
    assert_eq!(
        error(&bench.served, "GET", &format!("{PATH}?folow=true")).await,
        (
            400,
            "query: there is no parameter `folow`; there are uid, task, follow, after and limit".to_owned()
        )
    );
    assert_eq!(error(&bench.served, "GET", "/api/v1/nothing").await.0, 404);
    assert_eq!(error(&bench.served, "DELETE", PATH).await.0, 405);
}

#[tokio::test]
async fn readers_beyond_the_bound_are_refused_and_later_ones_are_not() {
    let bench = Bench::new(Limits { readers: 1, ..Limits::default() }, at_once()).await;
    bench.lines(vec![line(0, None, 1)]).await;
    let mut reader = bench.reader(None, true);
    reader.line().await;
    let (status, body) = bench.served.gets(PATH).await;
    assert_eq!(status, 429);
    assert!(body.contains("1 logs are being read already"), "{body}");
    drop(reader);
    bench.tasks.close();
    soon(bench.tasks.wait()).await;
    assert_eq!(bench.served.gets(PATH).await.0, 200);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_left() {
    let bench = Bench::new(short(), at_once()).await;
    let long = |number| relay::model::log::LogLine { text: "x".repeat(60_000), ..line(0, None, number) };
    for from in [1, 101, 201, 301] {
        bench.quiet_lines(&(from..from + 100).map(long).collect::<Vec<_>>()).await;
    }
    let stream = bench.served.sends(&format!("GET {PATH} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
    soon(stream.readable()).await.expect("it begins");
    bench.tasks.close();
    soon(bench.tasks.wait()).await;
    drop(stream);
}

#[tokio::test]
async fn a_follower_hears_something_while_nothing_happens_and_the_reason_when_the_server_ends() {
    let bench = Bench::new(short(), at_once()).await;
    let ask = format!("GET {PATH}?follow=true HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    let mut stream = bench.served.sends(&ask).await;
    let mut text = String::new();
    // A chunk of one byte, a line's end: twice.
    while text.matches("1\r\n\n\r\n").count() < 2 {
        let mut bytes = [0; 1024];
        let read = soon(stream.read(&mut bytes)).await.expect("it lives");
        assert!(read > 0, "it ended: {text}");
        text.push_str(std::str::from_utf8(&bytes[..read]).expect("text"));
    }
    bench.stop.cancel();
    let rest = super::all(&mut stream).await;
    assert!(rest.contains(r#"{"error":"this operator is shutting down"}"#), "{rest}");
    bench.served.ends().await;
}
