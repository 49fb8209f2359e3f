//! A conductor: it commits, then publishes; it reads, commits, then settles; it sweeps.

use super::{
    Model, Rule,
    state::{Report, Row, State, Status, Word},
};

/// What a conductor may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It takes the shard; whoever leads does not know yet.
    Lead,
    /// It learns which incarnation this is, and begins one where there is none.
    Learn,
    /// READY -> QUEUED.
    Dispatch,
    /// The oldest report is taken in.
    Read,
    /// The books are looked through.
    Sweep,
    /// A worker that may be alive is taken for dead.
    Judge,
    /// What it decided to say arrives.
    Say,
}

impl Turn {
    pub const ALL: [Turn; 7] =
        [Turn::Lead, Turn::Learn, Turn::Dispatch, Turn::Read, Turn::Sweep, Turn::Judge, Turn::Say];
}

/// None: it cannot be done now.
pub fn step(model: &Model, state: &mut State, c: usize, turn: Turn) -> Option<()> {
    match turn {
        Turn::Lead => return lead(state, c),
        Turn::Say => return say(model, state, c),
        _ => {}
    }
    // One thing after the other; and only a leader does any of it.
    let idle = state.conductors[c].epoch > 0 && state.conductors[c].word.is_none();
    if !idle {
        return None;
    }
    match turn {
        Turn::Learn => learn(model, state, c),
        Turn::Dispatch => dispatch(model, state, c),
        Turn::Read => read(model, state, c),
        Turn::Sweep => sweep(model, state, c),
        Turn::Judge => judge(model, state, c),
        Turn::Lead | Turn::Say => None,
    }
}

fn lead(state: &mut State, c: usize) -> Option<()> {
    // The first one takes nothing over.
    if state.epoch > 0 {
        state.budget.takeovers = state.budget.takeovers.checked_sub(1)?;
    }
    state.epoch += 1;
    let (epoch, row) = (state.epoch, state.row);
    let me = &mut state.conductors[c];
    // What it said before and has not arrived may still do so.
    (me.epoch, me.row, me.incarnation, me.offered) = (epoch, row, 0, (0, 0));
    Some(())
}

/// May it begin to say something? One that was frozen past its time looks at its clock first, and is silent: only what it
/// had decided before is still on its way.
fn speaks_anew(model: &Model, state: &State, c: usize) -> bool {
    state.conductors[c].epoch == state.epoch || !model.has(Rule::Tenure)
}

fn learn(model: &Model, state: &mut State, c: usize) -> Option<()> {
    if !speaks_anew(model, state, c) {
        return None;
    }
    let mine = state.conductors[c].epoch;
    if state.redis.incarnation == 0 {
        state.incarnations += 1;
        state.redis.incarnation = state.incarnations;
        let first = state.incarnations == 1;
        state.redis.announcing = [0, 1].map(|w| !first && !state.workers[w].dead);
    }
    if model.has(Rule::FenceQueue) {
        state.redis.epoch = state.redis.epoch.max(mine);
    }
    state.conductors[c].incarnation = state.redis.incarnation;
    Some(())
}

/// Writes what it believes and wants; false, and it steps down, when its epoch is over.
fn commit(model: &Model, state: &mut State, c: usize, row: Row) -> bool {
    if state.conductors[c].epoch != state.epoch && model.has(Rule::FenceStore) {
        state.conductors[c].epoch = 0;
        return false;
    }
    if row.status.is_final() && !state.conductors[c].row.status.is_final() {
        state.ends += 1;
        state.wrong_end |= state.row.attempt != row.attempt;
    }
    (state.row, state.conductors[c].row) = (row, row);
    true
}

fn decide(state: &mut State, c: usize, word: Word) {
    let me = &mut state.conductors[c];
    me.word = Some((word, me.epoch, me.incarnation));
}

fn dispatch(model: &Model, state: &mut State, c: usize) -> Option<()> {
    let row = state.conductors[c].row;
    if row.status != Status::Ready {
        return None;
    }
    let next = Row { status: Status::Queued, attempt: row.attempt + 1, worker: 0 };
    if commit(model, state, c, next) {
        decide(state, c, Word::Publish(next.attempt));
    }
    Some(())
}

/// A report of the live attempt ends the task; any other one is dropped. Either is settled after its commit.
fn read(model: &Model, state: &mut State, c: usize) -> Option<()> {
    let known = state.conductors[c].incarnation;
    if known == 0 || known != state.redis.incarnation {
        return None;
    }
    let Report { attempt, worker, start } = *state.redis.reports.first()?;
    let row = state.conductors[c].row;
    if model.once && row.status == Status::Running && row.attempt == attempt && row.worker != worker {
        // The queue gave the job away since: whoever had it is lost, and may have begun.
        lose(model, state, c, attempt, true)?;
        if state.conductors[c].epoch > 0 {
            decide(state, c, Word::Settle(attempt));
        }
        return Some(());
    }
    if start {
        started(model, state, c, attempt, worker);
        return Some(());
    }
    let open = if model.once { Status::Running } else { Status::Queued };
    let begun = row.status == open || (row.status == Status::Queued && !model.has(Rule::Word));
    let counts = begun && (row.attempt == attempt || !model.has(Rule::AttemptFence));
    let next = if counts { Row { status: Status::Success, attempt, worker: 0 } } else { row };
    if commit(model, state, c, next) {
        decide(state, c, Word::Settle(attempt));
    }
    Some(())
}

/// A worker would begin: that is committed first, and only then may it. Said again, the word goes out again.
fn started(model: &Model, state: &mut State, c: usize, attempt: u8, worker: usize) {
    let row = state.conductors[c].row;
    let live = row.attempt == attempt;
    let next = match row.status {
        Status::Queued if live => Row { status: Status::Running, attempt, worker },
        _ => row,
    };
    if !commit(model, state, c, next) {
        return;
    }
    let word = match next.status {
        Status::Running if live && next.worker == worker => Word::Go(attempt, worker),
        _ => Word::Settle(attempt),
    };
    decide(state, c, word);
}

/// May the books be judged?
fn may_judge(model: &Model, state: &State, c: usize) -> bool {
    let redis = &state.redis;
    let known = state.conductors[c].incarnation == redis.incarnation && redis.incarnation > 0;
    let read = redis.reports.is_empty() || !model.has(Rule::ReadFirst);
    let announcing = redis.announcing.contains(&true) && model.has(Rule::Announcing);
    known && read && !announcing
}

/// What the rows say is QUEUED and Redis does not hold is tried as another attempt, unless it was never there; what Redis holds of attempts that are over goes; and the
/// attempt of a worker that is dead is lost.
fn sweep(model: &Model, state: &mut State, c: usize) -> Option<()> {
    if !may_judge(model, state, c) {
        return None;
    }
    let row = state.conductors[c].row;
    let live = matches!(row.status, Status::Queued | Status::Running).then_some(row.attempt);
    let held = state.redis.pending.iter().copied().chain(state.redis.leases.iter().map(|l| l.attempt));
    if let Some(stray) = held.into_iter().find(|attempt| Some(*attempt) != live) {
        decide(state, c, Word::Settle(stray));
        return Some(());
    }
    let live = live?;
    if !state.redis.knows(live) {
        match row.status {
            Status::Running => lose(model, state, c, live, true)?,
            // Offered in these very books, and not in them: it never got there.
            _ if state.conductors[c].offered == (live, state.redis.incarnation) => {
                decide(state, c, Word::Publish(live))
            }
            _ if !model.has(Rule::Forgotten) => decide(state, c, Word::Publish(live)),
            // Somebody may have it who cannot tell any more: its number is not used again.
            _ => drop(commit(model, state, c, Row { status: Status::Ready, attempt: live, worker: 0 })),
        }
        return Some(());
    }
    let lease = *state.redis.lease(live)?;
    lose(model, state, c, lease.attempt, state.workers[lease.worker].dead)
}

/// A worker that lives says nothing for so long that it counts as dead.
fn judge(model: &Model, state: &mut State, c: usize) -> Option<()> {
    let row = state.conductors[c].row;
    if !may_judge(model, state, c) || !matches!(row.status, Status::Queued | Status::Running) {
        return None;
    }
    let lease = *state.redis.lease(row.attempt)?;
    if state.workers[lease.worker].dead {
        return None;
    }
    state.budget.silences = state.budget.silences.checked_sub(1)?;
    state.waited_enough = true;
    lose(model, state, c, lease.attempt, true)
}

/// What may have been begun, and is made at most once, has failed; anything else is tried again.
fn lose(model: &Model, state: &mut State, c: usize, attempt: u8, gone: bool) -> Option<()> {
    if !gone {
        return None;
    }
    let told = |report: &Report| report.attempt == attempt && !report.start;
    // What another one told of it may be an end as well: nobody knows then which of the two began.
    state.thrown_away |= !model.once && state.redis.reports.iter().any(told);
    let begun = state.conductors[c].row.status == Status::Running;
    let status = if begun { Status::Failed } else { Status::Ready };
    commit(model, state, c, Row { status, attempt, worker: 0 });
    Some(())
}

/// A word arrives, however late.
fn say(model: &Model, state: &mut State, c: usize) -> Option<()> {
    let (word, epoch, incarnation) = state.conductors[c].word.take()?;
    let redis = &mut state.redis;
    if redis.incarnation == 0 || incarnation != redis.incarnation && model.has(Rule::Incarnation) {
        return Some(());
    }
    if epoch < redis.epoch && model.has(Rule::FenceQueue) {
        if state.conductors[c].epoch == epoch {
            state.conductors[c].epoch = 0;
        }
        return Some(());
    }
    redis.epoch = redis.epoch.max(epoch);
    if let Word::Publish(attempt) = word {
        state.conductors[c].offered = (attempt, redis.incarnation);
    }
    match word {
        Word::Publish(attempt) if !redis.knows(attempt) => {
            redis.pending.push(attempt);
            state.published_late |= state.row.status.is_final();
        }
        Word::Publish(_) => {}
        Word::Go(attempt, worker) => {
            redis.reports.retain(|report| *report != Report { attempt, worker, start: true });
            if let Some(lease) = redis.lease(attempt).filter(|lease| lease.worker == worker) {
                lease.go = true;
            }
        }
        Word::Settle(attempt) => {
            redis.pending.retain(|job| *job != attempt);
            redis.leases.retain(|lease| lease.attempt != attempt);
            redis.reports.retain(|report| report.attempt != attempt);
        }
    }
    Some(())
}
