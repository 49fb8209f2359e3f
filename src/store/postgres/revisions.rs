//! Revisions of Workflows: three tables, written once.

use serde_json::Value;
use sqlx::types::Json;

use crate::model::ids::WorkflowId;
use crate::store::{
    Revision, StoreError, TaskRecord,
    fit::fit_revision,
    postgres::{PostgresStore, errors::Failed, load::corrupt, within},
};

/// One statement; whoever comes second finds the row and adds nothing, but that it is in use (`expire.rs`).
const PUT: &str = "
    with used as (
        update workflows set updated_at = now() where id = $1 and updated_at < now() - interval '1 hour'
    ), born as (
        insert into workflows (id, namespace, name, definition) values ($1, $2, $3, $4)
        on conflict do nothing
        returning id
    ), task as (
        insert into tasks (id, workflow_id, name, number, config, requires_approval)
        select n.name, born.id, n.name, n.number - 1, n.config, n.requires_approval
        from born, unnest($5::text[], $6::jsonb[], $7::boolean[])
            with ordinality as n(name, config, requires_approval, number)
    )
    insert into dependencies (workflow_id, task_id, depends_on_task_id)
    select born.id, n.task, n.upstream
    from born, unnest($8::text[], $9::text[]) with ordinality as n(task, upstream, place)
    order by n.place";

const WORKFLOW: &str = "select namespace, name, definition from workflows where id = $1";

/// Upstreams in the order in which they were given.
const TASKS: &str = "
    select t.number, t.name, t.config, t.requires_approval,
        array(select d.depends_on_task_id from dependencies d
            where d.workflow_id = t.workflow_id and d.task_id = t.id order by d.id) as depends_on
    from tasks t where t.workflow_id = $1 order by t.number";

pub(super) async fn put(store: &PostgresStore, revision: &Revision) -> Result<(), StoreError> {
    let kept = fit_revision(revision)?;
    let edges = kept
        .tasks
        .iter()
        .flat_map(|t| t.depends_on.iter().map(|upstream| (t.name.as_str(), upstream.as_str())));
    let (tasks, upstreams): (Vec<&str>, Vec<&str>) = edges.unzip();
    let statement = sqlx::query(PUT)
        .bind(kept.id.as_str())
        .bind(&kept.namespace)
        .bind(&kept.name)
        .bind(Json(&kept.definition))
        .bind(kept.tasks.iter().map(|t| t.name.as_str()).collect::<Vec<_>>())
        .bind(kept.tasks.iter().map(|t| Json(&t.config)).collect::<Vec<_>>())
        .bind(kept.tasks.iter().map(|t| t.requires_approval).collect::<Vec<_>>())
        .bind(tasks)
        .bind(upstreams);
    let mut line = store.line().await?;
    let bound = line.bound;
    within(bound, statement.execute(line.sql())).await.map_err(Failed::before)?;
    line.done();
    Ok(())
}

type WorkflowRow = (Option<String>, String, Json<Value>);
type TaskRow = (Option<i32>, String, Json<Value>, bool, Vec<String>);

pub(super) async fn load(store: &PostgresStore, id: &WorkflowId) -> Result<Option<Revision>, StoreError> {
    let mut line = store.line().await?;
    let bound = line.bound;
    // Written in one statement and never changed: two reads see the same.
    let work = sqlx::query_as::<_, WorkflowRow>(WORKFLOW).bind(id.as_str()).fetch_optional(line.sql());
    let found = within(bound, work).await.map_err(Failed::before)?;
    let work = sqlx::query_as::<_, TaskRow>(TASKS).bind(id.as_str()).fetch_all(line.sql());
    let tasks = within(bound, work).await.map_err(Failed::before)?;
    line.done();
    let Some((namespace, name, Json(definition))) = found else { return Ok(None) };
    let namespace = namespace.ok_or_else(|| corrupt("workflows", "namespace is null"))?;
    if !tasks.iter().zip(0..).all(|(task, number)| task.0 == Some(number)) {
        return Err(corrupt("tasks", "their numbers have gaps"));
    }
    let tasks = tasks.into_iter().map(|(_, name, Json(config), requires_approval, depends_on)| TaskRecord {
        name,
        config,
        requires_approval,
        depends_on,
    });
    Ok(Some(Revision { id: id.clone(), namespace, name, definition, tasks: tasks.collect() }))
}
