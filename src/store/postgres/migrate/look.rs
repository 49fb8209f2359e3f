//! Connects, and finds out what is there.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrate;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::store::postgres::catalog::{self, BASE_FUNCTIONS, BASE_TABLES};
use crate::store::postgres::migrate::TABLE;
use crate::store::postgres::migrate::errors::{MigrateError, OLDEST_SERVER, around, connecting, database};
use crate::store::postgres::migrations::{NEWEST, STEPS};

/// Where the base schema is made for comparing, in a transaction that is rolled back.
const SCRATCH: &str = "relay_base_schema_for_comparing";
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// What was found in a database.
pub(super) enum Found {
    /// None of the base schema's tables.
    Empty,
    /// Exactly the base schema, without a record.
    Base,
    /// A record up to this version.
    At(i64),
}

/// The version; 0 without a record.
pub(super) fn version_of(found: &Found) -> i64 {
    if let Found::At(version) = found { *version } else { 0 }
}

/// Reads the URL; the password stays in it.
pub(in crate::store::postgres) fn options(url: &str) -> Result<PgConnectOptions, MigrateError> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(MigrateError::BadUrl("it does not begin with postgres://".into()));
    }
    let options = PgConnectOptions::from_str(url).map_err(|e| MigrateError::BadUrl(e.to_string()))?;
    Ok(options.application_name("relay"))
}

/// Connects, to a server that is new enough.
pub(super) async fn connect(url: &str) -> Result<PgConnection, MigrateError> {
    let options = options(url)?;
    let mut conn = match tokio::time::timeout(CONNECT_WITHIN, PgConnection::connect_with(&options)).await {
        Ok(connected) => connected.map_err(|e| connecting(&e, &options))?,
        Err(_) => {
            let at = format!("{}:{}", options.get_host(), options.get_port());
            let why = format!("no answer within {} s", CONNECT_WITHIN.as_secs());
            return Err(MigrateError::Unreachable { at, why });
        }
    };
    let server = "select current_setting('server_version_num')::integer / 10000";
    let found: i32 = sqlx::query_scalar(server).fetch_one(&mut conn).await.map_err(database)?;
    if found < OLDEST_SERVER { Err(MigrateError::OldServer { found }) } else { Ok(conn) }
}

/// Finds out where the database is; refuses what is neither empty, nor the base schema, nor in order.
pub(super) async fn look(conn: &mut PgConnection) -> Result<Found, MigrateError> {
    let recorded = "select to_regclass(quote_ident(current_schema()) || '._sqlx_migrations') is not null";
    let recorded: Option<bool> =
        sqlx::query_scalar(recorded).fetch_one(&mut *conn).await.map_err(database)?;
    match recorded {
        None => {
            return Err(MigrateError::NotPermitted(
                "no schema of the search_path is there to work in".into(),
            ));
        }
        Some(true) => {
            let version = read_record(conn).await?;
            if version > 0 {
                return Ok(Found::At(version));
            }
        }
        Some(false) => {}
    }
    let found = catalog::read(conn, BASE_TABLES, BASE_FUNCTIONS).await.map_err(database)?;
    if found.is_empty() {
        return Ok(Found::Empty);
    }
    let differences = catalog::differences(&found, &base_schema(conn).await?);
    if differences.is_empty() { Ok(Found::Base) } else { Err(MigrateError::Altered(differences)) }
}

/// The version that `_sqlx_migrations` records, if the record is in order.
async fn read_record(conn: &mut PgConnection) -> Result<i64, MigrateError> {
    if let Some(number) = conn.dirty_version(TABLE).await.map_err(around)? {
        return Err(MigrateError::HalfApplied(number));
    }
    let applied = conn.list_applied_migrations(TABLE).await.map_err(around)?;
    for (row, number) in applied.iter().zip(1..) {
        match STEPS.iter().find(|step| step.number == row.version) {
            Some(step) if row.checksum != step.forward().checksum => {
                return Err(MigrateError::Changed(row.version));
            }
            None if row.version < 1 => return Err(MigrateError::Changed(row.version)),
            _ if row.version != number => return Err(MigrateError::Gap(number)),
            _ => {}
        }
    }
    let found = applied.last().map_or(0, |row| row.version);
    if found > NEWEST { Err(MigrateError::Newer { found }) } else { Ok(found) }
}

/// What migration 1 makes, read from a schema that nobody else sees and that is gone afterwards.
async fn base_schema(conn: &mut PgConnection) -> Result<catalog::Catalog, MigrateError> {
    let right = |e: sqlx::Error| match &e {
        sqlx::Error::Database(d) if d.code().as_deref() == Some("42501") => {
            MigrateError::NotPermitted(format!(
                "{}; comparing with the base schema needs the right to create a schema for a moment (grant create on database)",
                d.message()
            ))
        }
        _ => database(e),
    };
    let mut tx = conn.begin().await.map_err(database)?;
    let scratch = format!("create schema {SCRATCH}; set local search_path to {SCRATCH}; {}", STEPS[0].sql());
    sqlx::raw_sql(AssertSqlSafe(scratch)).execute(&mut *tx).await.map_err(right)?;
    let wanted = catalog::read(&mut tx, BASE_TABLES, BASE_FUNCTIONS).await.map_err(database)?;
    tx.rollback().await.map_err(database)?;
    Ok(wanted)
}
