//! What both stores do to everything but batches before they keep it: revisions, heads, lines of logs, a cluster's id.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;

use crate::model::{
    change::Fence,
    head::Head,
    ids::ShardId,
    log::{LogLine, LogQuery},
};
use crate::store::{
    HEAD_BYTES_MAX, LOG_PAGE_LINES, Revision, StoreError,
    prepare::{micros, refused, text, value},
};

/// Brings a revision into the form in which it is kept; refuses one that contradicts itself.
pub(super) fn fit_revision(given: &Revision) -> Result<Revision, StoreError> {
    let id = &given.id;
    let names: BTreeSet<&str> = given.tasks.iter().map(|t| t.name.as_str()).collect();
    if names.len() < given.tasks.len() {
        return Err(refused(id, "two of its tasks have the same name"));
    }
    let mut fitted = given.clone();
    fitted.definition = value(id, &Arc::new(fitted.definition))?.as_ref().clone();
    for task in &mut fitted.tasks {
        task.config = value(id, &Arc::new(task.config.take()))?.as_ref().clone();
        let upstreams: BTreeSet<&str> = task.depends_on.iter().map(String::as_str).collect();
        if upstreams.len() < task.depends_on.len() {
            return Err(refused(id, &format!("`{}` names an upstream task twice", task.name)));
        }
        if let Some(unknown) = upstreams.iter().find(|name| !names.contains(*name)) {
            return Err(refused(id, &format!("`{}` depends on `{unknown}`, which is not there", task.name)));
        }
    }
    Ok(fitted)
}

/// Brings a head into the form in which it is kept; refuses one that is too large, or of another shard than the fence.
pub(super) fn fit_head(given: &Head, fence: &Fence) -> Result<Head, StoreError> {
    let what = format!("{}/{}", given.namespace, given.name);
    same_shard(&given.namespace, fence)?;
    let labels = given.labels.iter().map(|(key, label)| (text(key).into_owned(), text(label).into_owned()));
    let head = Head {
        namespace: text(&given.namespace).into_owned(),
        name: text(&given.name).into_owned(),
        revision: given.revision.clone().map_err(|why| text(&why).into_owned()),
        labels: labels.collect(),
        unhashed: value(&what, &Arc::new(given.unhashed.clone()))?.as_ref().clone(),
    };
    let labels: usize = head.labels.iter().map(|(key, label)| key.len() + label.len()).sum();
    let bytes =
        labels + head.unhashed.to_string().len() + head.revision.as_ref().err().map_or(0, String::len);
    if bytes > HEAD_BYTES_MAX {
        return Err(refused(
            &what,
            &format!("its head has {bytes} bytes, at most {HEAD_BYTES_MAX} are kept"),
        ));
    }
    Ok(head)
}

/// A fence speaks for the namespaces of its own shard.
pub(super) fn same_shard(namespace: &str, fence: &Fence) -> Result<(), StoreError> {
    match ShardId::of_namespace(namespace) == fence.shard {
        true => Ok(()),
        false => Err(refused(&namespace, &format!("it is not in shard {}", fence.shard.number()))),
    }
}

/// Brings lines into the form in which they are kept. A number beyond a column's is of no attempt that there ever was.
pub(super) fn fit_lines(given: &[LogLine]) -> Vec<LogLine> {
    let fits =
        |line: &&LogLine| i32::try_from(line.job.attempt).is_ok() && i64::try_from(line.number).is_ok();
    let fitted = |line: &LogLine| LogLine {
        at: micros(line.at.max(Timestamp::UNIX_EPOCH)),
        text: text(&line.text).into_owned(),
        ..line.clone()
    };
    given.iter().filter(fits).map(fitted).collect()
}

/// How many lines a query may have. Refuses one that makes no sense.
pub(super) fn page(query: &LogQuery) -> Result<u32, StoreError> {
    if query.item.is_some() && query.task.is_none() {
        return Err(refused(&query.run, "an item of which task?"));
    }
    Ok(query.limit.min(LOG_PAGE_LINES))
}

/// The longest id that a cluster may have, in characters.
const CLUSTER_ID_MAX: usize = 253;

/// Refuses what is no id of a cluster.
pub(super) fn fit_cluster(id: &str) -> Result<(), StoreError> {
    match id.is_empty() || id.chars().count() > CLUSTER_ID_MAX || id.contains(char::is_control) {
        true => {
            Err(StoreError::Refused(format!("a cluster's id has 1 to {CLUSTER_ID_MAX} printable characters")))
        }
        false => Ok(()),
    }
}

/// The store belongs to another cluster.
pub(super) fn another_clusters(owner: &str, id: &str) -> StoreError {
    StoreError::Refused(format!(
        "this database belongs to the cluster with id {owner}, and this is the cluster with id {id}: two clusters must \
         not share it. If it is to serve this one from now on, stop Relay in the other and start here with --adopt-cluster"
    ))
}
