//! How the database is.

use crate::store::{
    Cause, Outage, StoreError,
    postgres::{PostgresStore, errors::Failed, within},
};

/// A standby answers, and takes no writes: to read is not enough.
const LOOK: &str = "select pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";

/// Does it answer, would it take writes, and did it take the last ones?
pub(super) async fn look(store: &PostgresStore) -> Result<(), StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query_as::<_, (bool, bool)>(LOOK).fetch_one(line.sql());
    let (standby, read_only) = within(bound, work).await.map_err(Failed::before)?;
    let why = match (standby, read_only) {
        (true, _) => "it is a standby",
        (_, true) => "default_transaction_read_only is on",
        (false, false) => {
            line.done();
            return Ok(store.signs.tell()?);
        }
    };
    Err(Outage::new(Cause::ReadOnly, why).into())
}
