//! A Postgres database of a test's own, on the server that the bed started.

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use std::future::Future;

/// The bed's Postgres, as a superuser of a throw-away server.
pub fn postgres_url() -> String {
    from_bed("RELAY_TEST_POSTGRES_URL")
}

/// The bed's Redis.
pub fn redis_url() -> String {
    from_bed("RELAY_TEST_REDIS_URL")
}

/// What the bed tells by this name. Never a skip: a test that silently does not run is worse than one that fails.
#[track_caller]
pub fn from_bed(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs a real server. Run `make test`, or `make it T=name`.")
    })
}

/// An empty database that goes when the value goes, also when its test panics.
pub struct TestDb {
    name: String,
    url: String,
}

impl TestDb {
    /// Makes the database. Works in a plain test and in an async one.
    #[track_caller]
    pub fn new() -> TestDb {
        let name = format!("relay_test_{}", uuid::Uuid::now_v7().simple());
        let server = postgres_url();
        run_apart(execute(server.clone(), format!("CREATE DATABASE \"{name}\"")));
        let url = in_database(&server, &name);
        TestDb { name, url }
    }

    /// Its URL, for a pool or for a program.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A small pool on it.
    pub async fn pool(&self) -> PgPool {
        PgPool::connect(self.url()).await.expect("the test's database answers")
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        // WITH (FORCE): a pool of the test may still hold connections.
        run_apart(execute(postgres_url(), format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name)));
    }
}

async fn execute(url: String, statement: String) {
    let mut connection = PgConnection::connect(&url).await.expect("the bed's Postgres answers");
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.expect("the statement runs");
}

/// On a thread and a runtime of its own: `drop` may come in the middle of a runtime, which must not be blocked on.
fn run_apart(work: impl Future<Output = ()> + Send + 'static) {
    let done = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work);
    })
    .join();
    // A second panic while one is under way would abort the whole test binary.
    assert!(done.is_ok() || std::thread::panicking(), "the bed's Postgres refused");
}

/// The same server's URL for another database.
fn in_database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("the bed's URL names a database");
    format!("{server}/{name}")
}

async fn exists(name: &str) -> bool {
    let mut connection = PgConnection::connect(&postgres_url()).await.expect("connects");
    let found: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM pg_database WHERE datname = $1")
        .bind(name)
        .fetch_one(&mut connection)
        .await
        .expect("counts");
    found == 1
}

#[tokio::test]
async fn a_database_lives_as_long_as_its_test() {
    let database = TestDb::new();
    let name = database.name.clone();
    let pool = database.pool().await;
    let current: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&pool).await.expect("asks");
    assert_eq!(current, name);
    // The pool is still open here, as in a test that forgot to close it.
    drop(database);
    assert!(!exists(&name).await, "{name} outlived its test");
}

#[tokio::test]
async fn a_test_that_panics_loses_its_database_too() {
    let name = std::thread::spawn(|| {
        let database = TestDb::new();
        std::panic::panic_any(database.name.clone());
    })
    .join()
    .expect_err("panicked")
    .downcast::<String>()
    .expect("its name");
    assert!(!exists(&name).await, "{name} outlived its test");
}
