//! What this Postgres can do for a client that knows nothing of Relay: the measure beside which `relay bench` puts its figures.

use std::time::Duration;

use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::store::{StoreError, postgres::errors::Failed};

/// Rows that are there to be changed.
const ROWS: i64 = 10_000;

/// A narrow table of states, and one of what happened to them.
const TABLES: [&str; 3] = [
    "create table yardstick (id bigint primary key, state text not null, n int not null default 0)",
    "create table yardstick_history (id bigint generated always as identity, row_id bigint not null, state text not null, at timestamptz not null default now())",
    "create table yardstick_line (id bigint generated always as identity primary key, n int not null)",
];
const FILL: &str = "insert into yardstick (id, state) select n, 'QUEUED' from generate_series(0, $1 - 1) n";
const LINE: &str = "insert into yardstick_line (n) values ($1)";
/// Rows change and their history is written, in one statement and one commit.
const CHANGE: &str = "
    with changed as (
        update yardstick y set state = 'SUCCESS', n = n + 1 from unnest($1::bigint[]) as c (id) where y.id = c.id returning y.id, y.state
    )
    insert into yardstick_history (row_id, state) select id, state from changed";

/// What the tables of this database are.
const TABLES_NOW: &str = "
    select s.relname::text as name, pg_table_size(s.relid) as bytes, pg_indexes_size(s.relid) as index_bytes, s.n_live_tup as live,
        s.n_dead_tup as dead, s.n_tup_ins + s.n_tup_upd + s.n_tup_del as written
    from pg_stat_user_tables s order by pg_total_relation_size(s.relid) desc, s.relname";

fn failed(error: sqlx::Error) -> StoreError {
    Failed::Sql(error).before()
}

/// Makes a database beside the one of the URL; its URL.
pub async fn create(url: &str, name: &str) -> Result<String, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(failed)?;
    let mut connection = PgConnection::connect_with(&options).await.map_err(failed)?;
    let text = sqlx::AssertSqlSafe(format!("create database \"{name}\""));
    sqlx::raw_sql(text).execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(options.database(name).to_url_lossy().to_string())
}

/// Drops what `create` made, whoever is still connected.
pub async fn drop_database(url: &str, name: &str) -> Result<(), StoreError> {
    let options: PgConnectOptions = url.parse().map_err(failed)?;
    let mut connection = PgConnection::connect_with(&options).await.map_err(failed)?;
    let text = sqlx::AssertSqlSafe(format!("drop database if exists \"{name}\" with (force)"));
    sqlx::raw_sql(text).execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)
}

/// A table as the database counts it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Bytes of its rows.
    pub bytes: i64,
    /// Bytes of its indexes.
    pub index_bytes: i64,
    /// Rows.
    pub live: i64,
    /// Versions of rows that wait for a vacuum.
    pub dead: i64,
    /// Rows written since it was made.
    pub written: i64,
}

/// The tables, the largest first. What was written is counted by each connection and told some seconds later.
pub async fn tables(url: &str) -> Result<Vec<Table>, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(failed)?;
    let mut connection = PgConnection::connect_with(&options).await.map_err(failed)?;
    let tables = sqlx::query_as(TABLES_NOW).fetch_all(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(tables)
}

/// A bare client.
#[derive(Clone, Debug)]
pub struct Bare {
    pool: PgPool,
}

impl Bare {
    /// In a database of its own, which gets some tables.
    pub async fn connect(url: &str, clients: u32) -> Result<Bare, StoreError> {
        let pool = PgPoolOptions::new().max_connections(clients).acquire_timeout(Duration::from_secs(10));
        let pool = pool.connect(url).await.map_err(failed)?;
        for table in TABLES {
            sqlx::query(table).execute(&pool).await.map_err(failed)?;
        }
        sqlx::query(FILL).bind(ROWS).execute(&pool).await.map_err(failed)?;
        Ok(Bare { pool })
    }

    /// Inserts a row and commits, again and again, until it is told that it is time; how often.
    pub async fn commits(&self, is_over: impl Fn() -> bool) -> Result<u64, StoreError> {
        let (mut connection, mut count) = (self.pool.acquire().await.map_err(failed)?, 0);
        while !is_over() {
            sqlx::query(LINE).bind(1).execute(&mut *connection).await.map_err(failed)?;
            count += 1;
        }
        Ok(count)
    }

    /// Changes so many rows in one commit, from this one on, and writes their history.
    pub async fn change(&self, first: i64, rows: i64) -> Result<(), StoreError> {
        let ids: Vec<i64> = (0..rows).map(|n| (first + n) % ROWS).collect();
        sqlx::query(CHANGE).bind(ids).execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }

    /// Ends its connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
