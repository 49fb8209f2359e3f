//! Whose database this is.

use crate::store::{
    StoreError,
    fit::{another_clusters, fit_cluster},
    postgres::{PostgresStore, errors::Failed, within},
};

/// Only the first claim, and an adoption, writes.
const CLAIM: &str = "
    insert into cluster (id) select $1
    where $2 and exists (select from cluster where id <> $1) or not exists (select from cluster)
    on conflict (one) do update set id = excluded.id, claimed_at = now() where $2";

const OWNER: &str = "select id from cluster";

pub(super) async fn claim(store: &PostgresStore, id: &str, adopt: bool) -> Result<(), StoreError> {
    fit_cluster(id)?;
    let mut line = store.line().await?;
    let bound = line.bound;
    let work = sqlx::query(CLAIM).bind(id).bind(adopt).execute(line.sql());
    within(bound, work).await.map_err(Failed::before)?;
    // Of two that come first, one finds the other's row here.
    let work = sqlx::query_scalar::<_, String>(OWNER).fetch_one(line.sql());
    let owner = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    if owner == id { Ok(()) } else { Err(another_clusters(&owner, id)) }
}
