//! Brings a database to the schema that this binary needs, and back. The steps, their lock and their record in
//! `_sqlx_migrations` are sqlx's; adopting a database that was made from the base file alone is ours.

mod errors;
mod look;

use std::fmt;

use sqlx::Connection;
use sqlx::PgConnection;
use sqlx::migrate::Migrate;

use crate::store::postgres::migrations::{STEPS, Step};
use errors::{around, database, failed};
use look::{Found, connect, look, version_of};

pub use crate::store::postgres::migrations::NEWEST;
pub use errors::MigrateError;
pub(super) use look::options;

/// Where sqlx keeps the record of steps.
const TABLE: &str = "_sqlx_migrations";

/// A step that was taken, or is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: &'static str,
}

impl From<&Step> for Taken {
    fn from(step: &Step) -> Taken {
        Taken { number: step.number, name: step.name }
    }
}

/// What `up` or `down` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The base schema was found and taken over as version 1.
    pub adopted: bool,
    /// The steps forward, in order.
    pub applied: Vec<Taken>,
    /// The steps back, in order.
    pub reverted: Vec<Taken>,
    /// The version now.
    pub version: i64,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.adopted {
            writeln!(f, "adopted the base schema as version 1")?;
        }
        for step in &self.applied {
            writeln!(f, "applied {} {}", step.number, step.name)?;
        }
        for step in &self.reverted {
            writeln!(f, "took back {} {}", step.number, step.name)?;
        }
        if !self.adopted && self.applied.is_empty() && self.reverted.is_empty() {
            writeln!(f, "nothing to do")?;
        }
        write!(f, "the database is at version {} of {NEWEST}", self.version)
    }
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its version; 0 is empty.
    pub number: i64,
    /// It holds the base schema, made from the file alone; `up` will adopt it.
    pub adoptable: bool,
    /// What `up` would apply, in order.
    pub pending: Vec<Taken>,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} of {NEWEST}", self.number)?;
        if self.adoptable {
            write!(f, "\nmade from the base file alone: `relay migrate up` will adopt it as version 1")?;
        }
        for step in &self.pending {
            write!(f, "\npending {} {}", step.number, step.name)?;
        }
        Ok(())
    }
}

/// Applies what is pending, up to version `to` or all of it. Two at once are safe: the second waits.
pub async fn up(url: &str, to: Option<i64>) -> Result<Moved, MigrateError> {
    let to = in_range(to.unwrap_or(NEWEST))?;
    let mut conn = connect(url).await?;
    lock(&mut conn).await?;
    let found = look(&mut conn).await?;
    conn.ensure_migrations_table(TABLE).await.map_err(|e| failed(&STEPS[0], e))?;
    let adopted = matches!(found, Found::Base);
    let mut moved = Moved { adopted, applied: Vec::new(), reverted: Vec::new(), version: version_of(&found) };
    if adopted {
        conn.skip(TABLE, &STEPS[0].forward()).await.map_err(|e| failed(&STEPS[0], e))?;
        moved.version = 1;
    }
    for step in STEPS.iter().filter(|step| step.number <= to) {
        if step.number > moved.version {
            conn.apply(TABLE, &step.forward()).await.map_err(|e| failed(step, e))?;
            moved.applied.push(step.into());
            moved.version = step.number;
        }
    }
    finish(conn).await?;
    Ok(moved)
}

/// Takes steps back, down to version `to` or one of them. A step refuses when it would lose something.
pub async fn down(url: &str, to: Option<i64>) -> Result<Moved, MigrateError> {
    let to = to.map(in_range).transpose()?;
    let mut conn = connect(url).await?;
    lock(&mut conn).await?;
    let found = look(&mut conn).await?;
    if matches!(found, Found::Base) {
        return Err(MigrateError::NotAdopted);
    }
    let mut moved =
        Moved { adopted: false, applied: Vec::new(), reverted: Vec::new(), version: version_of(&found) };
    let to = to.unwrap_or(moved.version - 1);
    for step in STEPS.iter().rev().filter(|step| step.number > to) {
        if step.number <= moved.version {
            conn.revert(TABLE, &step.back()).await.map_err(|e| failed(step, e))?;
            moved.reverted.push(step.into());
            moved.version = step.number - 1;
        }
    }
    finish(conn).await?;
    Ok(moved)
}

/// Where the database is. Changes nothing.
pub async fn version(url: &str) -> Result<Version, MigrateError> {
    let mut conn = connect(url).await?;
    let found = look(&mut conn).await?;
    let adoptable = matches!(found, Found::Base);
    let number = version_of(&found);
    let known = if adoptable { 1 } else { number };
    let pending = STEPS.iter().filter(|step| step.number > known).map(Taken::from).collect();
    conn.close().await.map_err(database)?;
    Ok(Version { number, adoptable, pending })
}

/// Is the database migrated as far as this binary needs? Later steps only add, so a newer one will do.
pub(super) async fn ready(url: &str) -> Result<(), MigrateError> {
    let mut conn = connect(url).await?;
    let found = match look(&mut conn).await {
        Err(MigrateError::Newer { .. }) => NEWEST,
        Err(MigrateError::Altered(_)) => 0,
        found => version_of(&found?),
    };
    conn.close().await.map_err(database)?;
    if found < NEWEST { Err(MigrateError::Older { found }) } else { Ok(()) }
}

fn in_range(to: i64) -> Result<i64, MigrateError> {
    if (0..=NEWEST).contains(&to) { Ok(to) } else { Err(MigrateError::NoSuchVersion(to)) }
}

/// One at a time; the lock goes with the connection. The steps themselves wait less long for the tables.
async fn lock(conn: &mut PgConnection) -> Result<(), MigrateError> {
    sqlx::query("set lock_timeout = '60s'").execute(&mut *conn).await.map_err(database)?;
    conn.lock().await.map_err(|e| failed(&STEPS[0], e))?;
    sqlx::query("set lock_timeout = '10s'").execute(&mut *conn).await.map_err(database)?;
    Ok(())
}

async fn finish(mut conn: PgConnection) -> Result<(), MigrateError> {
    conn.unlock().await.map_err(around)?;
    conn.close().await.map_err(database)
}
