//! Redis by TLS: operator's queue, feed and workers, and whom they trust.

use relay::feed::{
    Feed, LogLine, LogStream, Stream,
    redis::{Limits, RedisFeed, RedisLogs},
};
use relay::link::{RedisSettings, worker_url};
use relay::queue::{QueueError, Roster, redis::RedisQueue};

use super::{books, census, conductor, soon, until, worker};
use crate::support::{
    Program, RedisServer,
    jobs::{POOL, job_id, second},
    relay,
};

fn trusting(server: &RedisServer, url: &str, authority: &str) -> RedisSettings {
    let pem = std::fs::read_to_string(server.file(authority)).expect("a certificate");
    server.settings_of(url).with_ca(&pem).expect("settings")
}

/// The pool's own user, as its workers log in.
fn of_workers(server: &RedisServer, queue: &RedisQueue, password: &str) -> String {
    worker_url(&server.url(), &queue.user(POOL), password).expect("a URL")
}

#[tokio::test]
async fn queue_feed_and_workers_speak_tls_with_a_redis_of_a_known_authority() {
    let server = RedisServer::start_with_tls().await;
    let settings = trusting(&server, &server.url(), "ca.crt");
    let queue = conductor(&settings).await;
    let theirs = trusting(&server, &of_workers(&server, &queue, "secret"), "ca.crt");
    let w = worker(&theirs, "w").await;
    relay::queue::Queue::publish(queue.as_ref(), &[crate::support::jobs::job(0)]).await.expect("published");
    assert_eq!(w.claim(1).await, [job_id(0)]);
    assert_eq!(books(&census(&queue).await).1, [(job_id(0), "w")]);

    let logs = RedisLogs::new(&settings).expect("a stream");
    let line = LogLine {
        job: job_id(0),
        stream: Stream::Stdout,
        number: 1,
        at: second(0),
        text: "by TLS".to_owned(),
        partial: false,
    };
    let feed = RedisFeed::new(&theirs, POOL, Limits::default()).expect("a feed");
    let ((), read) = soon(async { tokio::join!(feed.log(vec![line]), logs.read(10)) }).await;
    assert_eq!(read.expect("lines").pieces[0].lines[0].text, "by TLS");
}

#[tokio::test]
async fn a_redis_of_another_authority_or_name_is_refused_with_what_to_do() {
    let server = RedisServer::start_with_tls().await;
    let refused = async |settings: &RedisSettings| {
        let queue = RedisQueue::new(settings, relay::queue::redis::Limits::default()).expect("a queue");
        match soon(queue.ping()).await {
            Err(QueueError::Unavailable(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    for settings in [
        trusting(&server, &server.url(), "other.crt"),
        trusting(&server, &server.url_at("localhost"), "ca.crt"),
        server.settings(),
    ] {
        let said = refused(&settings).await;
        assert!(said.contains("certificate") && said.contains("--redis-ca"), "{said}");
        assert!(!said.contains(server.password()), "{said}");
    }
    // Without TLS nothing is understood, and said in time.
    let plain = server.settings_of(&server.url().replace("rediss://", "redis://"));
    assert!(!refused(&plain).await.contains(server.password()));
    let wrong = server.url().replace(server.password(), "wr0ng-word");
    let said = refused(&trusting(&server, &wrong, "ca.crt")).await;
    assert!(said.to_lowercase().contains("password") && !said.contains("wr0ng-word"), "{said}");
}

#[test]
fn what_is_no_authority_is_refused_at_once() {
    let settings = |url| RedisSettings::new(url).expect("settings");
    for (url, pem, words) in [
        ("rediss://h", "no certificate", "-----BEGIN CERTIFICATE-----"),
        ("rediss://h", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificates"),
        ("redis://h", "-----BEGIN CERTIFICATE-----", "rediss://"),
    ] {
        let refused = settings(url).with_ca(pem).expect_err(url).to_string();
        assert!(refused.contains(words), "{refused}");
    }
    let huge = "-----BEGIN CERTIFICATE-----\n".repeat(10_000);
    assert!(settings("rediss://h").with_ca(&huge).expect_err("too much").to_string().contains("bytes"));
}

/// By a file and by its text, as the chart gives it.
#[tokio::test]
async fn the_worker_itself_takes_the_authority_as_a_file_and_as_text() {
    let server = RedisServer::start_with_tls().await;
    let queue = conductor(&trusting(&server, &server.url(), "ca.crt")).await;
    let text = std::fs::read_to_string(server.file("ca.crt")).expect("a certificate");
    for (name, authority) in [("by-file", server.file("ca.crt")), ("by-text", text)] {
        let mut command = relay();
        command.args(["worker", "--pool", POOL, "--name", name]).env("RELAY_REDIS_CA", authority);
        command.env("RELAY_REDIS_URL", of_workers(&server, &queue, "secret"));
        let working = Program::start(&mut command);
        until(name, async || {
            census(&queue).await.present.iter().any(|worker| worker.starts_with(name)).then_some(())
        })
        .await;
        drop(working);
    }
}
