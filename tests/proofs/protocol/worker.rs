//! A worker: it claims, runs, tells; it beats; it may die.

use super::{
    Model, Rule,
    state::{Lease, Report, State, Worker},
};

/// What a worker may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Claim,
    /// It says that it would begin.
    Ask,
    /// What it runs has ended, and it says so.
    Tell,
    /// It says that it lives and what it holds, and hears what it should do.
    Beat,
    Die,
}

impl Turn {
    pub const ALL: [Turn; 5] = [Turn::Claim, Turn::Ask, Turn::Tell, Turn::Beat, Turn::Die];
}

/// None: it cannot be done now.
pub fn step(model: &Model, state: &mut State, w: usize, turn: Turn) -> Option<()> {
    if state.workers[w].dead {
        return None;
    }
    let same = state.workers[w].incarnation == state.redis.incarnation || !model.has(Rule::Incarnation);
    let known = state.redis.incarnation > 0 && same;
    match turn {
        Turn::Claim if known => claim(model, state, w)?,
        Turn::Ask if known => ask(state, w)?,
        Turn::Tell if known => tell(model, state, w)?,
        Turn::Beat if state.redis.incarnation > 0 => beat(state, w),
        // The last one lives: somebody has to do the work.
        Turn::Die if !state.workers[1 - w].dead => {
            state.budget.deaths = state.budget.deaths.checked_sub(1)?;
            state.workers[w].dead = true;
            state.waited_enough = true;
            // It is not waited for any longer than the time to tell lasts.
            state.redis.announcing[w] = false;
            (state.workers[w].waits, state.workers[w].runs, state.workers[w].kept) = (None, None, None);
        }
        _ => return None,
    }
    Some(())
}

fn claim(model: &Model, state: &mut State, w: usize) -> Option<()> {
    let me = &state.workers[w];
    if me.runs.is_some() || me.waits.is_some() || state.redis.pending.is_empty() {
        return None;
    }
    let attempt = state.redis.pending.remove(0);
    state.redis.leases.push(Lease { attempt, worker: w, ended: false, go: false });
    match model.once && model.has(Rule::Word) {
        true => state.workers[w].waits = Some(attempt),
        false => begin(state, w, attempt),
    }
    Some(())
}

fn begin(state: &mut State, w: usize, attempt: u8) {
    state.workers[w].runs = Some(attempt);
    let before = state.begun;
    state.begun |= 1 << attempt;
    state.begun_twice |= before == state.begun;
    state.begun_more |= before != 0;
    state.begun_again |= before != 0 && !state.waited_enough;
}

/// Said until the word comes; only whoever has the lease is heard.
fn ask(state: &mut State, w: usize) -> Option<()> {
    let attempt = state.workers[w].waits?;
    let mine = state.redis.lease(attempt).is_some_and(|lease| lease.worker == w);
    let start = Report { attempt, worker: w, start: true };
    if !mine || state.redis.reports.contains(&start) {
        return None;
    }
    state.redis.reports.push(start);
    Some(())
}

fn tell(model: &Model, state: &mut State, w: usize) -> Option<()> {
    let attempt = state.workers[w].runs.take()?;
    if report(state, w, attempt) && model.has(Rule::KeptEnds) {
        state.workers[w].kept = Some(attempt);
    }
    Some(())
}

/// Was it taken? Only from whoever has the lease.
fn report(state: &mut State, w: usize, attempt: u8) -> bool {
    let Some(lease) = state.redis.lease(attempt).filter(|lease| lease.worker == w) else { return false };
    lease.ended = true;
    let end = Report { attempt, worker: w, start: false };
    if !state.redis.reports.contains(&end) {
        state.redis.reports.push(end);
    }
    true
}

fn beat(state: &mut State, w: usize) {
    if state.workers[w].incarnation != state.redis.incarnation {
        announce(state, w);
    }
    let holds =
        |state: &mut State, attempt| state.redis.lease(attempt).is_some_and(|lease| lease.worker == w);
    if let Some(attempt) = state.workers[w].waits {
        match state.redis.lease(attempt).filter(|lease| lease.worker == w) {
            None => state.workers[w].waits = None,
            Some(Lease { go: true, .. }) => {
                state.workers[w].waits = None;
                begin(state, w, attempt);
            }
            Some(_) => {}
        }
    }
    if let Some(attempt) = state.workers[w].runs
        && !holds(state, attempt)
    {
        // Nobody waits for it.
        state.workers[w].runs = None;
    }
    if let Some(attempt) = state.workers[w].kept
        && !holds(state, attempt)
    {
        state.workers[w].kept = None;
    }
}

/// In an incarnation that does not know it its word is taken for the books.
fn announce(state: &mut State, w: usize) {
    // A worker that was never known holds nothing.
    if state.workers[w].incarnation > 0 {
        let Worker { waits, runs, kept, .. } = state.workers[w];
        for (attempt, ended) in [(waits, false), (runs, false), (kept, true)] {
            let Some(attempt) = attempt else { continue };
            state.redis.pending.retain(|job| *job != attempt);
            match state.redis.lease(attempt) {
                None => state.redis.leases.push(Lease { attempt, worker: w, ended: false, go: false }),
                Some(lease) if ended && !lease.ended => lease.worker = w,
                Some(_) => {}
            }
            if ended {
                report(state, w, attempt);
            }
        }
    }
    state.redis.announcing[w] = false;
    state.workers[w].incarnation = state.redis.incarnation;
}
