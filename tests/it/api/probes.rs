//! What a kubelet and a monitor are told.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use relay::api::{
    self, Api,
    health::{self, Check, Health, Ill, Ping, READY_DESPITE, STANDSTILL},
    probes,
    serve::Bounds,
};
use relay::clock::Clock;
use relay::store::Cause;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Served, soon};

fn all_good(health: &Health) {
    for check in Check::ALL {
        health.good(check, "as it should be");
    }
}

fn on_a_still_clock() -> Arc<Health> {
    Arc::new(Health::new(Clock::manual(Timestamp::UNIX_EPOCH)))
}

#[tokio::test]
async fn health_is_told_in_one_object() {
    let health = Arc::new(Health::new(Clock::system()));
    let served = Served::new(probes::router(health.clone()), Bounds::default()).await;
    let told = async || {
        let (status, body) = served.gets("/health").await;
        (status, serde_json::from_str::<Value>(&body).expect("JSON"))
    };
    let summary = |status: &str, database: bool, redis: bool| {
        json!({
            "status": status, "version": env!("CARGO_PKG_VERSION"), "service": "relay",
            "database": database, "redis": redis,
        })
    };
    assert_eq!(told().await, (503, summary("unhealthy", false, false)));
    all_good(&health);
    assert_eq!(told().await, (200, summary("healthy", true, true)));
    health.bad(Check::Redis, "gone");
    assert_eq!(told().await, (200, summary("degraded", true, false)));
    health.good(Check::Redis, "back");
    health.bad(Check::Kubernetes, "no watch");
    assert_eq!(told().await, (200, summary("degraded", true, true)));
    health.bad(Check::Database, "gone");
    assert_eq!(told().await, (503, summary("unhealthy", false, true)));
    served.ends().await;
}

#[tokio::test]
async fn probes_are_answered_and_nothing_else_is() {
    let health = Arc::new(Health::new(Clock::system()));
    let served = Served::new(probes::router(health.clone()), Bounds::default()).await;
    assert_eq!(served.gets("/livez").await, (200, "ok\n".to_owned()));
    let (status, text) = served.gets("/readyz").await;
    assert_eq!(status, 503);
    assert!(text.contains("[-]database since"), "{text}");
    all_good(&health);
    health.bad(Check::Redis, "connection refused");
    let (status, text) = served.gets("/readyz").await;
    assert_eq!(status, 200, "work that waits for Redis is no reason to send it elsewhere: {text}");
    assert!(text.contains("[-]redis since") && !text.contains("connection refused"), "{text}");
    let (_, text) = served.gets("/health").await;
    assert!(!text.contains("connection refused"), "reasons are not for everybody: {text}");
    health.leave();
    assert_eq!(served.gets("/readyz").await.0, 503);
    assert_eq!(served.gets("/livez").await.0, 200);
    assert_eq!(
        served.gets("/nothing").await,
        (404, r#"{"error":"there is nothing at /nothing"}"#.to_owned())
    );
    assert_eq!(served.asks("POST", "/livez").await.0, 405);
    served.ends().await;
}

#[tokio::test]
async fn reasons_are_told_on_loopback_also_before_there_is_a_store() {
    let health = Arc::new(Health::new(Clock::system()));
    let served = Served::new(api::router(Arc::new(Api::new(health.clone()))), Bounds::default()).await;
    all_good(&health);
    health.bad(Check::Database, "the password is wrong");
    let (status, body) = served.gets("/health").await;
    let told: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &told["status"], &told["service"]), (503, &"unhealthy".into(), &"relay".into()));
    let first = &told["checks"][0];
    assert_eq!((&first["check"], &first["good"]), (&"database".into(), &false.into()));
    assert_eq!(first["why"], "the password is wrong");
    assert_eq!(told["checks"].as_array().map(Vec::len), Some(Check::ALL.len()));
    let (status, body) = served.gets("/api/v1/namespaces/data/runs/nightly/logs").await;
    assert_eq!(status, 503);
    assert!(body.contains("this operator waits for its servers"), "{body}");
    served.ends().await;
}

#[tokio::test(start_paused = true)]
async fn a_short_absence_of_the_database_changes_nothing_for_readiness() {
    let health = on_a_still_clock();
    all_good(&health);
    assert!(health.readiness().0);
    health.bad(Check::Database, "it fails over");
    tokio::time::advance(READY_DESPITE - Duration::from_millis(1)).await;
    assert!(health.readiness().0);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!health.readiness().0);
    health.good(Check::Database, "back");
    assert!(health.readiness().0);
}

#[tokio::test(start_paused = true)]
async fn a_check_keeps_its_time_until_it_turns() {
    let health = on_a_still_clock();
    let since = |check| health.state(check).expect("a state").since;
    tokio::time::advance(Duration::from_secs(5)).await;
    health.bad(Check::Redis, "refused");
    assert_eq!(since(Check::Redis), Timestamp::UNIX_EPOCH);
    health.good(Check::Redis, "it answers");
    tokio::time::advance(Duration::from_secs(5)).await;
    health.good(Check::Redis, "it still answers");
    assert_eq!(since(Check::Redis), Timestamp::from_second(5).expect("a time"));
    let long = "x".repeat(10_000);
    health.bad(Check::Redis, &long);
    assert_eq!(health.state(Check::Redis).expect("a state").why.len(), 300);
}

#[tokio::test(start_paused = true)]
async fn an_event_loop_that_does_not_tick_is_not_alive() {
    let health = on_a_still_clock();
    let stop = CancellationToken::new();
    tokio::time::advance(STANDSTILL).await;
    assert!(!health.lives());
    let mut ticks = std::pin::pin!(health::tick(health.clone(), stop.clone()));
    assert!(futures::poll!(ticks.as_mut()).is_pending());
    assert!(health.lives());
    stop.cancel();
    soon(ticks).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_counts_as_gone() {
    let health = on_a_still_clock();
    let stop = CancellationToken::new();
    let silent: Ping = Arc::new(|| Box::pin(std::future::pending()));
    let looks = health::look(health.clone(), Check::Database, silent, stop.clone());
    // Time goes on by itself while everybody waits: past the bound of one look.
    let ended = tokio::time::timeout(Duration::from_secs(5), looks).await;
    assert!(ended.is_err(), "it goes on looking");
    let state = health.state(Check::Database).expect("a state");
    assert_eq!((state.good, state.why.as_str()), (false, "no answer within 4 s"));
    let refused: Ping = Arc::new(|| Box::pin(async { Err(Ill::unreachable("the password is wrong")) }));
    stop.cancel();
    soon(health::look(health.clone(), Check::Database, refused, stop.clone())).await;
    assert_eq!(health.state(Check::Database).expect("a state").why, "the password is wrong");
}

/// Everybody is told the word; on loopback the reason comes with it, and what to do.
#[tokio::test]
async fn what_is_wrong_with_the_database_is_told_in_a_word() {
    let health = Arc::new(Health::new(Clock::system()));
    let probes = Served::new(probes::router(health.clone()), Bounds::default()).await;
    let inside = Served::new(api::router(Arc::new(Api::new(health.clone()))), Bounds::default()).await;
    all_good(&health);
    for cause in Cause::ALL {
        let why = format!("10.0.0.7 says {cause:?}");
        health.ill(
            Check::Database,
            &Ill { label: cause.label(), why: why.clone(), advice: Some(cause.advice()) },
        );
        let (_, text) = probes.gets("/readyz").await;
        let line = text.lines().find(|line| line.starts_with("[-]database since")).expect("a line");
        assert!(line.ends_with(&format!(": {}", cause.label())) && !text.contains("10.0.0.7"), "{text}");
        assert_eq!(probes.gets("/livez").await.0, 200, "a restart mends no database");
        let (status, text) = probes.gets("/metrics").await;
        let state = format!("relay_check_state{{check=\"database\",state=\"{}\"}} 1", cause.label());
        assert!(status == 200 && text.lines().any(|line| line == state), "{text}");
        assert!(text.lines().any(|line| line == "relay_check_good{check=\"database\"} 0"), "{text}");
        assert!(!text.contains("10.0.0.7") && text.ends_with("# EOF\n"), "{text}");
        let (status, body) = inside.gets("/health").await;
        let told: Value = serde_json::from_str(&body).expect("JSON");
        let check = &told["checks"][0];
        assert_eq!((status, check["state"].as_str()), (503, Some(cause.label())));
        assert_eq!(
            (check["why"].as_str(), check["advice"].as_str()),
            (Some(why.as_str()), Some(cause.advice()))
        );
    }
    health.good(Check::Database, "back");
    let (_, body) = inside.gets("/health").await;
    let told: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&told["checks"][0]["state"], &told["checks"][0]["advice"]), (&Value::Null, &Value::Null));
    let (_, text) = probes.gets("/metrics").await;
    assert!(text.contains("relay_check_state{check=\"database\",state=\"good\"} 1"), "{text}");
    assert!(!text.contains("state=\"bad\""), "a state that is over is told no longer: {text}");
    probes.ends().await;
    inside.ends().await;
}
