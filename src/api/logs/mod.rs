//! `GET /api/v1/namespaces/{namespace}/runs/{name}/logs`: the lines that a run's tasks wrote, one JSON object a line.
//!
//! | parameter | what it does |
//! |---|---|
//! | `uid=6e1f...` | the run of this id, which is the uid of its Run; without it the newest of this name |
//! | `task=extract`, `task=extract/3` | only this task, or this item of it |
//! | `follow=true` | goes on until the run has ended and every line is out |
//! | `after=1234` | only what stands behind this cursor |
//! | `limit=100` | no more lines than this |
//!
//! The order is that in which lines came to the store: lines of an attempt stand in theirs. With `follow` an empty line
//! comes when nothing else did for a while. A last line with the field `error` says that the answer is not whole. The
//! headers `relay-run-uid` and `relay-run-started` say which run it is.

mod ask;
mod pour;

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
};
use futures::{future::BoxFuture, stream};
use tokio::sync::{Semaphore, mpsc};

use crate::api::{
    Api, Params,
    answer::ApiError,
    shapes::{RUN_STARTED, RUN_UID},
};
use crate::model::{ids::RunId, log::LogQuery, run::RunRow, task::TaskNo, time::later};
use ask::Ask;
use pour::Pour;

/// Bounds of the reading of logs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Readers at a time.
    pub readers: usize,
    /// Lines that are taken from the store at once; the store bounds their bytes as well.
    pub page: u32,
    /// How often a reader that follows looks without being called.
    pub look_every: Duration,
    /// The longest silence towards a client.
    pub heartbeat: Duration,
    /// A client that takes nothing for so long is left.
    pub stalled: Duration,
    /// For how long a reader that follows bears with a store that is away.
    pub patience: Duration,
    /// For how long a reader that follows waits for a run that is not there: its object may just have been made.
    pub appear: Duration,
    /// Longest wait, once the run has ended, until its last lines are in the store.
    pub settle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            readers: 32,
            page: 500,
            look_every: Duration::from_secs(1),
            heartbeat: Duration::from_secs(10),
            stalled: Duration::from_secs(60),
            patience: Duration::from_secs(60),
            appear: Duration::from_secs(3),
            settle: Duration::from_secs(10),
        }
    }
}

/// How often a run that is not there is looked for.
const APPEAR_EVERY: Duration = Duration::from_millis(200);

/// Waits until every line that tasks of this namespace wrote before it was asked is in the store.
pub type Settled = Arc<dyn Fn(&str) -> BoxFuture<'static, ()> + Send + Sync>;

/// Where logs are asked for.
pub struct Desk {
    params: Params,
    readers: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(params: Params) -> Desk {
        let readers = Arc::new(Semaphore::new(params.limits.readers));
        Desk { params, readers }
    }

    /// The run that is asked for, or the newest of this name. A reader that follows waits a little for it.
    async fn run(&self, namespace: &str, name: &str, ask: &Ask) -> Result<RunRow, ApiError> {
        let Params { store, clock, limits, .. } = &self.params;
        let until = later(clock.now(), limits.appear);
        loop {
            let id = match &ask.uid {
                Some(id) => Some(id.clone()),
                None => store.find_runs(namespace, name, 1).await?.into_iter().next(),
            };
            let row = match &id {
                Some(id) => store.run_row(id).await?,
                None => None,
            };
            match row.filter(|row| row.namespace == namespace && row.name == name) {
                Some(row) => return Ok(row),
                None if ask.follow && clock.now() < until => clock.sleep(APPEAR_EVERY).await,
                None => return Err(no_such_run(namespace, name)),
            }
        }
    }

    /// The names of a run's tasks, by number.
    async fn tasks(&self, run: &RunRow) -> Result<Vec<String>, ApiError> {
        let revision = self.params.store.revision(&run.workflow).await?;
        let revision = revision.ok_or_else(|| {
            ApiError::Missing(format!("the revision {} of the run is not there", run.workflow))
        })?;
        Ok(revision.tasks.into_iter().map(|task| task.name).collect())
    }
}

fn no_such_run(namespace: &str, name: &str) -> ApiError {
    let (name, namespace) = (shortened(name), shortened(namespace));
    ApiError::NoRun(format!(
        "no run `{name}` of namespace `{namespace}` has been accepted yet; `kubectl get runs.relay.works -n \
         {namespace}` lists them, and the status of one that waits says why. One that ended longer ago than the operator's \
         --retention was removed with its logs"
    ))
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Answers with the lines.
pub(super) async fn of_run(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let ask = Ask::read(query.as_deref().unwrap_or_default())?;
    let desk = api.desk.get().ok_or(ApiError::Starting)?;
    let limits = desk.params.limits;
    let permit = desk.readers.clone().try_acquire_owned().map_err(|_| ApiError::Busy(limits.readers))?;
    let run = desk.run(&namespace, &name, &ask).await?;
    let tasks = desk.tasks(&run).await?;
    let query = query_of(&ask, run.id.clone(), &tasks)?;
    // One page waits in the channel while the next is made.
    let (to, mut from) = mpsc::channel(1);
    let (params, left, follow) = (desk.params.clone(), ask.limit, ask.follow);
    let pour = Pour { params, namespace: run.namespace, tasks, query, left, follow, to };
    desk.params.tasks.spawn(async move {
        pour.run().await;
        drop(permit);
    });
    let pages = stream::poll_fn(move |context| from.poll_recv(context));
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    let whose = [(RUN_UID, run.id.to_string()), (RUN_STARTED, run.started_at.to_string())];
    Ok((headers, whose, Body::from_stream(pages)).into_response())
}

fn query_of(ask: &Ask, run: RunId, tasks: &[String]) -> Result<LogQuery, ApiError> {
    let task = match &ask.task {
        None => None,
        Some(name) => Some(number_of(name, tasks)?),
    };
    Ok(LogQuery { run, task, item: ask.item, after: ask.after, limit: 0 })
}

fn number_of(name: &str, tasks: &[String]) -> Result<TaskNo, ApiError> {
    let place = tasks.iter().position(|task| task == name);
    place.and_then(|place| TaskNo::try_from(place).ok()).ok_or_else(|| {
        let known: Vec<&str> = tasks.iter().take(20).map(String::as_str).collect();
        let more = if tasks.len() > known.len() { ", ..." } else { "" };
        ApiError::Missing(format!("the run has no task `{name}`; it has {}{more}", known.join(", ")))
    })
}
