//! History: positions without gaps, edges of the table, chained for each entity up to its row.

use std::collections::BTreeMap;

use jiff::Timestamp;
use relay::{
    model::{
        ids::{RunId, ShardId},
        status::{RunStatus, TASK_BIRTHS, TaskStatus},
        task_run::AttemptRow,
    },
    store::{Entity, HistoryRow, Store},
};

use super::world::Shared;

/// Judges the history of every run, and of every shard.
pub async fn judge(shared: &Shared, runs: &[RunId]) {
    let mut positions: BTreeMap<ShardId, Vec<i64>> = BTreeMap::new();
    for run in runs {
        let Some(record) = shared.record(run) else { continue };
        let mut entities = vec![(Entity::Run(run.clone()), record.run.status.to_string(), 0)];
        for row in &record.tasks {
            entities.push((Entity::TaskRun(row.id(run)), row.status.to_string(), row.attempt));
        }
        for (entity, status, attempt) in entities {
            let mut rows = shared.store.history(&entity, u32::MAX).await.unwrap_or_default();
            rows.reverse();
            let told = chain(&entity, &rows, &status, attempt).and(match &entity {
                Entity::Run(_) => Ok(()),
                Entity::TaskRun(id) => {
                    let made = shared.store.attempts(id, u32::MAX).await.unwrap_or_default();
                    tried(&rows, &made, (status == "RUNNING").then_some(attempt))
                }
            });
            if let Err(why) = told {
                shared.trace.wrong(format!("the history of {entity}: {why}"));
            }
            rows.iter().for_each(|row| positions.entry(row.shard).or_default().push(row.seq));
            rows.iter().for_each(|row| shared.trace.say(line(row)));
        }
    }
    for (shard, mut seqs) in positions {
        seqs.sort_unstable();
        let last = shared.store.position(shard).await.map_or(-1, |fence| fence.seq);
        if !seqs.iter().copied().eq(1..=last) {
            shared
                .trace
                .wrong(format!("shard {} has gaps in its history: {seqs:?}, up to {last}", shard.number()));
        }
    }
}

fn line(row: &HistoryRow) -> String {
    let from = row.old_state.as_deref().unwrap_or("");
    let why = row.reason.map_or("", |reason| reason.as_str());
    format!(
        "history {} {}#{} {from} -> {} {why} {}",
        row.seq, row.entity, row.attempt, row.new_state, row.changed_at
    )
}

fn chain(entity: &Entity, rows: &[HistoryRow], status: &str, attempt: u32) -> Result<(), String> {
    let of_run = matches!(entity, Entity::Run(_));
    let mut state = None;
    let (mut tried, mut seq, mut at) = (0, 0, Timestamp::MIN);
    for row in rows {
        let born_pending = state.is_none() && !of_run && row.old_state.as_deref() == Some("PENDING");
        if row.old_state != state && !born_pending {
            return Err(format!("{:?} -> {} follows {state:?}", row.old_state, row.new_state));
        }
        if !legal(of_run, row) {
            return Err(format!("{:?} -> {} is no edge", row.old_state, row.new_state));
        }
        if row.seq <= seq {
            return Err("its positions fall".to_owned());
        }
        // Whatever the clocks of those who led did meanwhile.
        if row.changed_at < at {
            return Err(format!("{} comes after {at}", row.changed_at));
        }
        at = row.changed_at;
        // Taken back unseen, a number may be used again; nothing else lowers it.
        let requeued = row.new_state == "QUEUED" && row.attempt == tried;
        if row.attempt < tried && !(row.attempt + 1 == tried && row.new_state != "QUEUED") {
            return Err(format!("attempt {} follows {tried}", row.attempt));
        }
        if requeued && row.old_state.as_deref() != Some("READY") {
            return Err(format!("attempt {tried} was queued twice"));
        }
        (state, tried, seq) = (Some(row.new_state.clone()), row.attempt, row.seq);
    }
    let end = state.unwrap_or_else(|| "PENDING".to_owned());
    if end != status {
        return Err(format!("it ends in {end}, its row in {status}"));
    }
    if !of_run && tried != attempt && tried != attempt + 1 {
        return Err(format!("it ends with attempt {tried}, its row with {attempt}"));
    }
    Ok(())
}

/// Do the attempts say what the history says? Each has ended but the one that runs.
fn tried(rows: &[HistoryRow], attempts: &[AttemptRow], runs: Option<u32>) -> Result<(), String> {
    let ran = |row: &&HistoryRow| row.new_state == "RUNNING" && row.attempt > 0;
    let ran: BTreeMap<u32, Timestamp> =
        rows.iter().filter(ran).map(|row| (row.attempt, row.changed_at)).collect();
    let started = attempts.iter().filter_map(|made| Some((made.attempt, made.started_at?)));
    if !started.eq(ran.into_iter().rev()) {
        return Err(format!("other attempts than these were started: {attempts:?}"));
    }
    let half = |made: &&AttemptRow| {
        made.ended_at.is_none() != (runs == Some(made.attempt))
            || made.worker.is_some() != made.started_at.is_some()
    };
    attempts.iter().find(half).map_or(Ok(()), |made| Err(format!("{made:?} is half an attempt")))
}

fn legal(of_run: bool, row: &HistoryRow) -> bool {
    if of_run {
        let to = RunStatus::parse(&row.new_state);
        return match (&row.old_state, to) {
            (None, Some(to)) => to == RunStatus::Running,
            (Some(from), Some(to)) => RunStatus::parse(from).is_some_and(|from| from.can_become(to)),
            _ => false,
        };
    }
    match (&row.old_state, TaskStatus::parse(&row.new_state)) {
        (None, Some(to)) => TASK_BIRTHS.contains(&to),
        (Some(from), Some(to)) => TaskStatus::parse(from).is_some_and(|from| from.can_become(to)),
        _ => false,
    }
}
