//! A rig on Postgres, and what its rows say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::model::ids::RunId;
use relay::model::run::RunRow;
use relay::store::postgres::{PoolSettings, PostgresStore, migrate};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::rig::{Rig, SOON};
use crate::support::TestDb;

impl Rig {
    /// With an operator at work on a Postgres of its own.
    pub fn on_postgres(database: &TestDb) -> Rig {
        let mut rig = Rig::without_operator();
        let url = database.url().to_owned();
        rig.store = rig.runtime.block_on(async move {
            migrate::up(&url, None).await.expect("migrated");
            let settings = PoolSettings { min_connections: 0, ..PoolSettings::new(&url) };
            Arc::new(PostgresStore::connect(&settings).await.expect("connected"))
        });
        rig.start();
        rig
    }

    /// Says this to its Postgres.
    pub fn sql(&self, database: &TestDb, statement: &str) {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(database.url()).await.expect("connected");
            let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
            done.expect("the statement runs");
        });
    }

    /// A run's row, by the name of its Run.
    pub fn row(&self, name: &str) -> RunRow {
        let uid = self.get("run", name)["metadata"]["uid"].as_str().expect("a uid").to_owned();
        let id = uid.parse().expect("an id");
        self.runtime.block_on(self.store.run_row(&id)).expect("read").expect("it is there")
    }

    /// Waits until a run's row is as wanted.
    #[track_caller]
    pub fn until_row(&self, id: &RunId, wanted: impl Fn(&RunRow) -> bool) {
        let end = Instant::now() + SOON;
        loop {
            let row = self.runtime.block_on(self.store.run_row(id)).expect("read").expect("it is there");
            if wanted(&row) {
                return;
            }
            assert!(Instant::now() < end, "it did not become so: {row:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}
