//! The start: what is wrong is told at once, what may come is waited for.

use rustix::process::Signal;
use sqlx::Connection as _;

use super::{Desk, SOON};
use crate::support::{PostgresServer, Program, RedisServer, TestDb, free_port, redis_url};

/// Status and standard error of an operator that does not stay.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let told = Program::start(Desk::new().operator().args(arguments)).finish(SOON);
    (told.status.code(), told.errors)
}

#[test]
fn without_a_database_or_redis_it_does_not_start() {
    let (status, said) = refused(&["--redis-url", "redis://127.0.0.1:9"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("--database-url"), "{said}");
    let (status, said) = refused(&["--store", "memory"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("--redis-url"), "{said}");
}

#[test]
fn an_api_that_others_could_reach_is_refused() {
    let told = Program::start(crate::support::relay().args([
        "operator",
        "--store=memory",
        "--redis-url=redis://127.0.0.1:9",
        "--image=i",
        "--api-listen=0.0.0.0:8080",
    ]));
    let told = told.finish(SOON);
    assert_eq!(told.status.code(), Some(2));
    assert!(told.errors.contains("it answers on loopback only"), "{}", told.errors);
}

#[test]
fn what_is_wrong_with_an_address_is_told_without_its_password() {
    for (redis, further) in [
        ("http://user:s3cret@127.0.0.1:9", "--adopt-cluster"),
        ("redis://127.0.0.1:9", "--worker-redis-url=redis:s3cret@host"),
        ("redis://:s3cret@127.0.0.1:port", "--adopt-cluster"),
    ] {
        let (status, said) = refused(&["--store=memory", "--redis-url", redis, further]);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("Redis URL") && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn without_a_kubeconfig_it_says_so() {
    let desk = Desk::new();
    let mut command = desk.operator();
    command.args(["--store=memory", "--redis-url=redis://127.0.0.1:9"]);
    command.env("KUBECONFIG", desk.folder.path().join("absent"));
    let told = Program::start(&mut command).finish(SOON);
    assert_eq!(told.status.code(), Some(1));
    let said = &told.errors;
    assert!(said.contains("no cluster is configured") && !said.contains("refused"), "{said}");
}

#[tokio::test]
async fn servers_that_are_away_are_waited_for() {
    let desk = Desk::new();
    let nowhere = format!("postgres://relay:s3cret@127.0.0.1:{}/relay", free_port());
    let operator = desk.at(&nowhere, "redis://127.0.0.1:9");
    let (status, text) = desk.until_why("no connection to Postgres").await;
    assert_eq!(status, 503, "{text}");
    assert_eq!(desk.until("/livez", "ok").await.0, 200, "a restart would not bring the database back");
    let (status, text) = desk.until("/health", "\"status\":\"unhealthy\"").await;
    assert_eq!(status, 503, "{text}");
    operator.signal(Signal::TERM);
    let told = operator.finish(SOON);
    assert!(told.status.success(), "{}", told.errors);
    assert!(
        told.errors.contains("Waiting for Postgres") && !told.errors.contains("s3cret"),
        "{}",
        told.errors
    );
}

#[tokio::test]
async fn a_database_is_brought_up_to_date_and_redis_waited_for() {
    let (desk, database) = (Desk::new(), TestDb::new());
    let operator = desk.at(database.url(), &format!("redis://127.0.0.1:{}", free_port()));
    let (status, text) = desk.until("/readyz", "[-]redis since").await;
    assert_eq!(status, 503, "{text}");
    desk.until("/health", "\"database\":true,\"redis\":false").await;
    operator.signal(Signal::INT);
    let told = operator.finish(SOON);
    assert!(told.status.success(), "{}", told.errors);
    assert!(told.errors.contains("Waiting for Redis"), "{}", told.errors);
    let again = Program::start(crate::support::relay().args([
        "migrate",
        "version",
        "--database-url",
        database.url(),
    ]));
    let again = again.finish(SOON);
    assert!(again.status.success() && !again.output.contains("pending:"), "{}", again.output);
}

/// It works on, for nothing is lost, and says so to everybody.
#[tokio::test]
async fn a_redis_that_evicts_is_told_by_every_probe_and_the_log() {
    let redis = RedisServer::start(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let (desk, database) = (Desk::new(), TestDb::new());
    let operator = desk.at(database.url(), &redis.url());
    let (_, text) = desk.until("/readyz", ": evicting").await;
    assert!(text.contains("[-]redis since"), "{text}");
    let (_, text) = desk.until_at(desk.api, "/health", "\"state\":\"evicting\"").await;
    assert!(text.contains("maxmemory-policy to noeviction") && text.contains("\"degraded\""), "{text}");
    redis.say(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    desk.until("/health", "\"redis\":true").await;
    operator.signal(Signal::TERM);
    let told = operator.finish(SOON);
    assert!(told.status.success() && told.errors.contains("allkeys-lru"), "{}", told.errors);
}

#[tokio::test]
async fn redis_is_reached_by_tls_and_only_if_its_authority_is_given() {
    let redis = RedisServer::start_with_tls().await;
    let database = TestDb::new();
    let start = |desk: &Desk, authority: &str| {
        let mut command = desk.operator();
        command.args([
            "--database-url",
            database.url(),
            "--redis-url",
            &redis.url(),
            "--redis-ca",
            authority,
        ]);
        Program::start(&mut command)
    };
    let desk = Desk::new();
    let refused = start(&desk, &redis.file("other.crt"));
    let (_, text) = desk.until_at(desk.api, "/health", "certificate").await;
    assert!(!text.contains(redis.password()), "{text}");
    refused.signal(Signal::TERM);
    let told = refused.finish(SOON);
    assert!(
        told.errors.contains("Waiting for Redis") && told.errors.contains("--redis-ca"),
        "{}",
        told.errors
    );
    let desk = Desk::new();
    let trusting = start(&desk, &redis.file("ca.crt"));
    desk.until("/health", "\"database\":true,\"redis\":true").await;
    trusting.signal(Signal::TERM);
    assert!(trusting.finish(SOON).status.success());
    let (status, said) = refused_with(&["--redis-ca", "/absent"]);
    assert!(status == Some(1) && said.contains("/absent"), "{said}");
}

/// Workers that log in as the operator does are said aloud.
#[test]
fn a_redis_without_users_is_warned_of_at_the_start() {
    let desk = Desk::new();
    let mut command = desk.operator();
    command.args(["--store=memory", "--redis-url=redis://:s3cret@127.0.0.1:9", "--redis-acl=Off"]);
    command.env("KUBECONFIG", desk.folder.path().join("absent"));
    let told = Program::start(&mut command).finish(SOON);
    assert_eq!(told.errors.matches("redis.acl is Off").count(), 1, "{}", told.errors);
    assert!(!told.errors.contains("s3cret"), "{}", told.errors);
}

fn refused_with(arguments: &[&str]) -> (Option<i32>, String) {
    refused(&[&["--store=memory", "--redis-url=rediss://127.0.0.1:9"], arguments].concat())
}

/// In the middle of a fail-over the address may lead to a standby: it is waited for, and said so.
#[tokio::test]
async fn a_standby_behind_the_address_is_waited_for() {
    let mut server = PostgresServer::start(&[], |_| {}).await;
    server.becomes_a_standby().await;
    let (desk, url) = (Desk::new(), server.url(""));
    let operator = desk.at(&url, &format!("redis://127.0.0.1:{}", free_port()));
    let (status, text) = desk.until("/readyz", ": read_only").await;
    assert!(status == 503 && text.contains("[-]database since"), "{text}");
    assert_eq!(desk.until("/livez", "ok").await.0, 200, "a restart would not promote it");
    let (_, text) = desk.until_at(desk.api, "/health", "\"state\":\"read_only\"").await;
    assert!(text.contains("\"advice\":\"let the address lead to the primary"), "{text}");
    let mut connection = sqlx::PgConnection::connect(&url).await.expect("connected");
    sqlx::query("select pg_promote()").execute(&mut connection).await.expect("promoted");
    desk.until("/health", "\"database\":true,\"redis\":false").await;
    operator.signal(Signal::TERM);
    let told = operator.finish(SOON);
    assert!(told.status.success(), "{}", told.errors);
    assert!(told.errors.contains("Waiting for Postgres: the server takes no writes"), "{}", told.errors);
    assert!(!told.errors.contains(server.password()), "{}", told.errors);
}

#[tokio::test]
async fn a_password_that_is_refused_ends_it() {
    let (desk, database) = (Desk::new(), TestDb::new());
    let (server, _) = database.url().split_once("://").expect("a URL");
    let (_, host) = database.url().split_once('@').expect("a URL with a user");
    let operator = desk.at(&format!("{server}://relay_nobody:s3cret@{host}"), &redis_url());
    let told = operator.finish(SOON);
    assert_eq!(told.status.code(), Some(1), "{}", told.errors);
    assert!(!told.errors.contains("s3cret"), "{}", told.errors);
}
