//! Heads of Workflows: what each name points at now.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{Postgres, postgres::PgArguments, query::QueryScalar, types::Json};

use crate::model::{change::Fence, head::Head, ids::WorkflowId};
use crate::store::{
    StoreError,
    fit::{fit_head, same_shard},
    postgres::{PostgresStore, errors::Failed, lead, load::corrupt, within},
    prepare::text,
};

/// A head that is there as it is given costs a look. To change one, the shard's row is held against a new leader until
/// the change is committed; it holds up no reader. True: the epoch is not over. A revision that is left counts as used until
/// now (`expire.rs`): somebody may just be about to run it.
const PUT: &str = "
    with same as materialized (
        select from workflow_heads
        where namespace = $3 and name = $4 and revision is not distinct from $5 and why is not distinct from $6
            and labels = $7 and unhashed = $8
    ), led as materialized (
        select id from shards where id = $1 and epoch = $2 and not exists (select from same) for share
    ), left_behind as (
        update workflows w set updated_at = now() from workflow_heads h, led
        where h.namespace = $3 and h.name = $4 and w.id = h.revision and h.revision is distinct from $5
    ), put as (
        insert into workflow_heads (namespace, name, revision, why, labels, unhashed)
        select $3, $4, $5, $6, $7, $8 from led
        on conflict (namespace, name) do update set revision = excluded.revision, why = excluded.why,
            labels = excluded.labels, unhashed = excluded.unhashed, updated_at = now()
    )
    select exists (select from led)
        or exists (select from same) and exists (select from shards where id = $1 and epoch = $2)";

const DROP: &str = "
    with there as materialized (
        select from workflow_heads where namespace = $3 and name = $4
    ), led as materialized (
        select id from shards where id = $1 and epoch = $2 and exists (select from there) for share
    ), left_behind as (
        update workflows w set updated_at = now() from workflow_heads h, led
        where h.namespace = $3 and h.name = $4 and w.id = h.revision
    ), gone as (
        delete from workflow_heads using led where namespace = $3 and name = $4
    )
    select exists (select from led)
        or not exists (select from there) and exists (select from shards where id = $1 and epoch = $2)";

const HEAD: &str =
    "select revision, why, labels, unhashed from workflow_heads where namespace = $1 and name = $2";

const NAMES: &str = "
    select namespace, name from workflow_heads where (namespace, name) > ($1, $2) order by namespace, name limit $3";

pub(super) async fn put(store: &PostgresStore, head: &Head, fence: &Fence) -> Result<(), StoreError> {
    let head = fit_head(head, fence)?;
    let work = sqlx::query_scalar(PUT)
        .bind(lead::id(fence.shard))
        .bind(fence.epoch)
        .bind(&head.namespace)
        .bind(&head.name)
        .bind(head.revision.as_ref().ok().map(WorkflowId::as_str))
        .bind(head.revision.as_ref().err())
        .bind(Json(&head.labels))
        .bind(Json(&head.unhashed));
    fenced(store, work, fence).await
}

pub(super) async fn remove(
    store: &PostgresStore,
    namespace: &str,
    name: &str,
    fence: &Fence,
) -> Result<(), StoreError> {
    same_shard(namespace, fence)?;
    let work = sqlx::query_scalar(DROP)
        .bind(lead::id(fence.shard))
        .bind(fence.epoch)
        .bind(text(namespace))
        .bind(text(name));
    fenced(store, work, fence).await
}

async fn fenced(
    store: &PostgresStore,
    work: QueryScalar<'_, Postgres, bool, PgArguments>,
    fence: &Fence,
) -> Result<(), StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let led = within(bound, work.fetch_one(line.sql())).await.map_err(Failed::before)?;
    line.done();
    if led { Ok(()) } else { Err(StoreError::Deposed { shard: fence.shard, epoch: fence.epoch }) }
}

type Row = (Option<String>, Option<String>, Json<BTreeMap<String, String>>, Json<Value>);

pub(super) async fn head(
    store: &PostgresStore,
    namespace: &str,
    name: &str,
) -> Result<Option<Head>, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    let work =
        sqlx::query_as::<_, Row>(HEAD).bind(text(namespace)).bind(text(name)).fetch_optional(line.sql());
    let found = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    let Some((revision, why, Json(labels), Json(unhashed))) = found else { return Ok(None) };
    let revision = match (revision, why) {
        (Some(id), _) => Ok(WorkflowId::parse(&id).map_err(|e| corrupt("workflow_heads", e))?),
        (None, why) => Err(why.unwrap_or_default()),
    };
    let (namespace, name) = (text(namespace).into_owned(), text(name).into_owned());
    Ok(Some(Head { namespace, name, revision, labels, unhashed }))
}

pub(super) async fn names(
    store: &PostgresStore,
    after: Option<(String, String)>,
    limit: u32,
) -> Result<Vec<(String, String)>, StoreError> {
    // No name is empty, so everything comes after nothing.
    let (namespace, name) = after.unwrap_or_default();
    let mut line = store.line().await?;
    let bound = line.bound;
    let (namespace, name) = (text(&namespace), text(&name));
    let work = sqlx::query_as::<_, (String, String)>(NAMES).bind(namespace).bind(name).bind(i64::from(limit));
    let found = within(bound, work.fetch_all(line.sql())).await.map_err(Failed::before)?;
    line.done();
    Ok(found)
}
