//! What a failure means: done, not done, or nobody knows.

use std::time::Duration;

use crate::model::ids::ShardId;
use crate::store::{Cause, Outage, StoreError, prepare::Prepared};

/// Raised by the commit statement when a fence does not hold; the message is the shard's number.
const DEPOSED: &str = "RL001";
/// Raised by the commit statement when rows are not as expected; the message is their number.
const CONFLICT: &str = "RL002";

/// A call that did not succeed.
#[derive(Debug)]
pub(super) enum Failed {
    /// It failed.
    Sql(sqlx::Error),
    /// No answer came in time.
    Silent(Duration),
}

impl Failed {
    /// Of a call that sent nothing, that only reads, or that does no harm when it is made twice.
    pub(super) fn before(self) -> StoreError {
        match self {
            Failed::Silent(bound) => {
                StoreError::unreachable(format!("no answer within {} s", bound.as_secs()))
            }
            Failed::Sql(sqlx::Error::Database(e)) => by_code(e.as_ref()),
            Failed::Sql(e @ (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))) => {
                StoreError::Corrupt { table: "the database", why: e.to_string() }
            }
            Failed::Sql(e @ (sqlx::Error::Encode(_) | sqlx::Error::Configuration(_))) => {
                StoreError::Refused(e.to_string())
            }
            Failed::Sql(e) => StoreError::unreachable(e.to_string()),
        }
    }

    /// Of a commit that was under way.
    pub(super) fn of_commit(self, batch: &Prepared) -> StoreError {
        let Failed::Sql(sqlx::Error::Database(e)) = &self else {
            return match self.before() {
                // The connection broke: the server may have finished before it did.
                StoreError::Unavailable(outage) => StoreError::Unknown(outage.why),
                other => other,
            };
        };
        match e.code().as_deref() {
            Some(DEPOSED) => deposed(e.message(), batch),
            Some(CONFLICT) => StoreError::Conflict { count: e.message().parse().unwrap_or(1) },
            // The server was shut down, perhaps between its commit and its answer.
            Some("57P01" | "57P02") => StoreError::Unknown(e.message().to_owned()),
            Some(code) if code.starts_with("08") => StoreError::Unknown(e.message().to_owned()),
            _ => by_code(e.as_ref()),
        }
    }
}

fn deposed(message: &str, batch: &Prepared) -> StoreError {
    let shard = message.parse().ok().and_then(ShardId::new);
    let fence = batch.fences.iter().map(|(fence, _)| fence).find(|fence| Some(fence.shard) == shard);
    match fence {
        Some(fence) => StoreError::Deposed { shard: fence.shard, epoch: fence.epoch },
        None => StoreError::Refused(format!("the fence of shard `{message}` does not hold")),
    }
}

/// Errors that the server itself reports: the statement was rolled back.
fn by_code(e: &dyn sqlx::error::DatabaseError) -> StoreError {
    let code = e.code().unwrap_or_default();
    // What a row can bring about: a value that is wrong, a constraint, a text or an array beyond a limit, a feature that a
    // value would need; and a page of a table or an index that is broken. All else is the database's, the network's or a
    // pooler's between: it may be otherwise later, and to set runs aside for it would be wrong.
    let passing = !["22", "23", "54", "0A", "XX001", "XX002"].iter().any(|class| code.starts_with(class));
    if passing {
        // A table, a column or a function that is not there: the schema was taken back, or is another program's.
        let hint = match code.as_ref() {
            "42P01" | "42703" | "42883" => {
                "; is the database migrated as far as this relay needs? `relay migrate up` does it"
            }
            _ => "",
        };
        return Outage::new(cause(&code), format!("{} ({code}){hint}", e.message())).into();
    }
    let place = match (e.table(), e.constraint()) {
        (Some(table), Some(constraint)) => format!(" in {table}, {constraint}"),
        (Some(table), None) => format!(" in {table}"),
        _ => String::new(),
    };
    StoreError::Refused(format!("{} ({code}{place})", e.message()))
}

/// What keeps a database from working that answers with this code.
pub(super) fn cause(code: &str) -> Cause {
    let is = |classes: &[&str]| classes.iter().any(|class| code.starts_with(class));
    match code {
        "53100" => Cause::Full,
        "25006" => Cause::ReadOnly,
        // Conflicts of transactions, deadlocks, locks and statements that took too long, and what the server is short of.
        _ if is(&["40", "53", "55", "57014", "25P0"]) => Cause::Busy,
        // Connections, and a server that goes or comes.
        _ if is(&["08", "57", "58"]) => Cause::Unreachable,
        _ => Cause::Unfit,
    }
}
