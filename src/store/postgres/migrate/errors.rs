//! Why a database could not be migrated, said so that whoever reads it knows what to do.

use sqlx::postgres::{PgConnectOptions, PgDatabaseError};

use crate::store::Cause;
use crate::store::postgres::migrate::TABLE;
use crate::store::postgres::migrations::{NEWEST, Step};

/// UNIQUE NULLS NOT DISTINCT came with it.
pub(super) const OLDEST_SERVER: i32 = 15;

/// Why a database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The URL is none.
    #[error(
        "the database URL cannot be read: {0}; it should look like postgres://user:password@host:5432/database"
    )]
    BadUrl(String),
    /// Nobody answers there.
    #[error("no connection to Postgres at {at}: {why}")]
    Unreachable {
        /// Host and port.
        at: String,
        /// What happened.
        why: String,
    },
    /// The server has no such database.
    #[error(
        "there is no database `{name}` on the server at {at}: create it first (createdb {name}), or mend the URL"
    )]
    NoSuchDatabase {
        /// Its name.
        name: String,
        /// Host and port.
        at: String,
    },
    /// The two cannot agree on TLS.
    #[error(
        "no TLS with the server at {at}: {why}; what is wanted is said by sslmode and sslrootcert in the database URL"
    )]
    Tls {
        /// Host and port.
        at: String,
        /// What happened.
        why: String,
    },
    /// The server went away under way.
    #[error("the connection to Postgres was lost: {0}")]
    Lost(String),
    /// The server is too old.
    #[error("the server is Postgres {found}; Relay needs {OLDEST_SERVER} or newer")]
    OldServer {
        /// Its major version.
        found: i32,
    },
    /// The role may not do it.
    #[error("not permitted: {0}")]
    NotPermitted(String),
    /// A database that is neither empty nor the base schema.
    #[error(
        "the database holds a schema that is not Relay's base schema; nothing was changed. Differences:\n{}",
        .0.iter().map(|d| format!("  - {d}")).collect::<Vec<_>>().join("\n")
    )]
    Altered(Vec<String>),
    /// A database made from the base file alone has nothing to take back.
    #[error(
        "the database was made from the base file alone and is not under `relay migrate` yet: run `relay migrate up` first"
    )]
    NotAdopted,
    /// A step was recorded as begun, and never as done.
    #[error(
        "migration {0} was begun and not finished. Bring the schema to the state after or before it by hand, then set \
         success = true in its row of {TABLE}, or delete that row"
    )]
    HalfApplied(i64),
    /// The record of steps has a hole.
    #[error("{TABLE} has no row for migration {0}, and has later ones: the record was changed by hand")]
    Gap(i64),
    /// A step was applied that reads otherwise in this binary.
    #[error(
        "migration {0} was applied with another text than this binary's: the file was changed since, or {TABLE} is another program's"
    )]
    Changed(i64),
    /// The database is ahead of this binary.
    #[error("the database is at version {found}, and this binary knows {NEWEST}: use a newer relay")]
    Newer {
        /// Its version.
        found: i64,
    },
    /// The database is behind this binary.
    #[error(
        "the database is at version {found}, and this binary needs {NEWEST}: run `relay migrate up --database-url URL`, or add --migrate to `relay run`"
    )]
    Older {
        /// Its version.
        found: i64,
    },
    /// There is no such version.
    #[error("there is no version {0}: versions go from 0 (empty) to {NEWEST}")]
    NoSuchVersion(i64),
    /// Somebody else holds a lock.
    #[error("another session holds a lock for too long; nothing is half done, try again: {0}")]
    Busy(String),
    /// The server takes no writes.
    #[error("the server takes no writes: {0}")]
    ReadOnly(String),
    /// The server has no room left.
    #[error("the server has no room left: {0}")]
    Full(String),
    /// A step failed, and was rolled back.
    #[error("migration {number} ({name}) failed and was rolled back: {why}")]
    Failed {
        /// Its number.
        number: i64,
        /// Its name.
        name: &'static str,
        /// What the server said.
        why: String,
    },
    /// Something else went wrong.
    #[error("the database failed: {0}")]
    Database(String),
}

impl MigrateError {
    /// What keeps the database from working for now; none when the same would fail later, too.
    pub const fn cause(&self) -> Option<Cause> {
        match self {
            MigrateError::Unreachable { .. } | MigrateError::Lost(_) => Some(Cause::Unreachable),
            MigrateError::Busy(_) => Some(Cause::Busy),
            MigrateError::ReadOnly(_) => Some(Cause::ReadOnly),
            MigrateError::Full(_) => Some(Cause::Full),
            _ => None,
        }
    }
}

/// Why no connection came about.
pub(super) fn connecting(e: &sqlx::Error, options: &PgConnectOptions) -> MigrateError {
    let at = format!("{}:{}", options.get_host(), options.get_port());
    match e {
        sqlx::Error::Database(e) => match e.code().as_deref() {
            Some("3D000") => {
                // Without a name in the URL it is the user's.
                let name = options.get_database().unwrap_or(options.get_username()).to_owned();
                MigrateError::NoSuchDatabase { name, at }
            }
            Some(code) if code.starts_with("28") || code == "42501" => {
                MigrateError::NotPermitted(e.message().to_owned())
            }
            _ => MigrateError::Unreachable { at, why: e.message().to_owned() },
        },
        sqlx::Error::Tls(why) => MigrateError::Tls { at, why: why.to_string() },
        // A certificate that is not believed, ...
        sqlx::Error::Io(why) if why.kind() == std::io::ErrorKind::InvalidData => {
            MigrateError::Tls { at, why: why.to_string() }
        }
        // ... and one that is not there: over the network nothing else is looked for on the disk.
        sqlx::Error::Io(why) if why.kind() == std::io::ErrorKind::NotFound && over_network(options) => {
            MigrateError::Tls { at, why: format!("a file that the database URL names: {why}") }
        }
        e => MigrateError::Unreachable { at, why: e.to_string() },
    }
}

/// Is the server not reached by a socket's path?
fn over_network(options: &PgConnectOptions) -> bool {
    options.get_socket().is_none() && !options.get_host().starts_with('/')
}

/// What a step's failure means.
pub(super) fn failed(step: &Step, e: sqlx::migrate::MigrateError) -> MigrateError {
    use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
    let (Execute(sqlx::Error::Database(db)) | ExecuteMigration(sqlx::Error::Database(db), _)) = &e else {
        return around(e);
    };
    let hint = db.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::hint);
    let why = hint.map_or(db.message().to_owned(), |hint| format!("{}. {hint}", db.message()));
    match db.code().as_deref() {
        Some("42501") => MigrateError::NotPermitted(why),
        Some("55P03" | "40P01") => MigrateError::Busy(why),
        Some("25006") => MigrateError::ReadOnly(why),
        Some("53100") => MigrateError::Full(why),
        _ => MigrateError::Failed { number: step.number, name: step.name, why },
    }
}

/// What a failure around the steps means.
pub(super) fn around(e: sqlx::migrate::MigrateError) -> MigrateError {
    use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
    match e {
        Execute(e) | ExecuteMigration(e, _) => database(e),
        e => MigrateError::Database(e.to_string()),
    }
}

/// What another failure means.
pub(super) fn database(e: sqlx::Error) -> MigrateError {
    match &e {
        sqlx::Error::Database(d) => match d.code().as_deref() {
            Some("42501") => MigrateError::NotPermitted(d.message().to_owned()),
            Some("55P03" | "40P01") => MigrateError::Busy(d.message().to_owned()),
            Some("25006") => MigrateError::ReadOnly(d.message().to_owned()),
            Some("53100") => MigrateError::Full(d.message().to_owned()),
            // The server is shut down, or starts, or lacks something for now.
            Some(code) if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => {
                MigrateError::Lost(d.message().to_owned())
            }
            _ => MigrateError::Database(e.to_string()),
        },
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => MigrateError::Lost(e.to_string()),
        _ => MigrateError::Database(e.to_string()),
    }
}
