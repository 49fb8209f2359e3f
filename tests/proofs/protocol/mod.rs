//! The protocol of design section 6 as a small model, every order of its steps explored: one shard, one task run, two
//! conductors, two workers, a Redis that may lose everything.
//!
//! Nothing here has a clock. Whatever takes long in life takes arbitrarily long here: a conductor that is frozen is one whose
//! next step comes late, a message on its way is a step that is decided and not yet done. What life decides by time may come
//! at any moment, a bounded number of times: a takeover, the judgement that a worker is silent, the end of the time in
//! which workers tell what they hold. The one thing that time does promise is said in `conductor::speaks_anew`.
//!
//! `Model::without` takes one of the rules away. Each rule is there because without it the checker finds a counterexample,
//! and a test says so: a model that cannot fail proves nothing.

mod conductor;
mod state;
mod worker;

use stateright::{Checker, HasDiscoveries, Model as Explored, Property};

use conductor::Turn;
use state::{Budget, State, Status};

/// The rules that can be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// A commit is refused when the epoch is over.
    FenceStore,
    /// A script refuses a lower epoch than it has seen.
    FenceQueue,
    /// A script does nothing in another incarnation than its caller knows.
    Incarnation,
    /// Nothing counts as missing while workers tell what they hold.
    Announcing,
    /// A worker keeps an end until it is settled.
    KeptEnds,
    /// Reports are read to their present end before anything counts as missing.
    ReadFirst,
    /// Only a conductor whose tenure is not over begins to speak.
    Tenure,
    /// A report counts for the attempt that it names, and for no other.
    AttemptFence,
    /// What Redis lost and nobody tells of is tried as another attempt.
    Forgotten,
    /// What is made at most once begins at the word, which comes after the commit.
    Word,
}

/// What is explored.
struct Model {
    without: Option<Rule>,
    budget: Budget,
    /// Is the task made at most once?
    once: bool,
}

impl Model {
    fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

/// One step of anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Conductor(usize, Turn),
    Worker(usize, worker::Turn),
    /// Redis loses everything.
    Flush,
    /// The time in which workers tell what they hold is over.
    AnnouncingEnds,
}

impl Explored for Model {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.budget)]
    }

    /// Whether a step can be done now `next_state` tells.
    fn actions(&self, _: &State, steps: &mut Vec<Step>) {
        let conductors = (0..2).flat_map(|c| Turn::ALL.map(|turn| Step::Conductor(c, turn)));
        let workers = (0..2).flat_map(|w| worker::Turn::ALL.map(|turn| Step::Worker(w, turn)));
        let all = conductors.chain(workers).chain([Step::Flush, Step::AnnouncingEnds]);
        steps.extend(all);
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = before.clone();
        match step {
            Step::Conductor(c, turn) => conductor::step(self, &mut state, c, turn)?,
            Step::Worker(w, turn) => worker::step(self, &mut state, w, turn)?,
            Step::Flush => {
                state.budget.flushes = state.budget.flushes.checked_sub(1)?;
                state.redis = Default::default();
                // Of books that are gone nobody needs to know what was offered in them.
                state.conductors.iter_mut().for_each(|conductor| conductor.offered = (0, 0));
            }
            Step::AnnouncingEnds => {
                state.redis.announcing = [false; 2];
                state.waited_enough |= state != *before;
            }
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Model>> {
        vec![
            Property::always("a task ends once", |_, state: &State| state.ends <= 1),
            Property::always("what ended is the attempt that was live", |_, state: &State| !state.wrong_end),
            Property::always("nothing is published of what has ended", |_, state: &State| {
                !state.published_late
            }),
            Property::always(ONCE, |model: &Model, state: &State| !state.begun_more || !model.once),
            Property::always(TWICE, |_, state: &State| !state.begun_twice),
            Property::always(AGAIN, |_, state: &State| !state.begun_again),
            Property::always("no end that was told is thrown away", |_, state: &State| !state.thrown_away),
            // Nobody can do anything more: then all is done, and nothing is left behind.
            Property::always("nothing is lost, and nothing stays", |model: &Model, state: &State| {
                let mut steps = Vec::new();
                model.actions(state, &mut steps);
                state.is_clean() || steps.into_iter().any(|step| model.next_state(state, step).is_some())
            }),
            Property::sometimes("it ends", |_, state: &State| state.row.status == Status::Success),
            Property::sometimes("it ends after everything went wrong", |_, state: &State| {
                state.row.status == Status::Success && state.budget == Budget::default()
            }),
        ]
    }
}

const ONCE: &str = "what is made at most once is begun at most once";
const TWICE: &str = "no attempt is begun twice";
const AGAIN: &str = "nothing is begun again, unless a worker died or was silent for too long";

/// What the usual run lets go wrong; `make model` has more of it.
const USUAL: Budget = Budget { takeovers: 1, flushes: 1, deaths: 1, silences: 0 };
const MUCH: Budget = Budget { takeovers: 2, flushes: 1, deaths: 1, silences: 1 };

fn explore(budget: Budget, once: bool) {
    let checker = Model { without: None, budget, once }.checker().threads(2).spawn_bfs().join();
    println!("{budget:?}, at most once: {once}: {} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn every_order_of_steps_ends_once_loses_nothing_and_obeys_no_stale_leader() {
    explore(if std::env::var_os("RELAY_MODEL_MUCH").is_some() { MUCH } else { USUAL }, false);
}

#[test]
fn every_order_of_steps_begins_what_is_made_at_most_once_at_most_once() {
    explore(if std::env::var_os("RELAY_MODEL_MUCH").is_some() { MUCH } else { USUAL }, true);
}

#[test]
fn a_worker_that_is_taken_for_dead_and_lives_counts_once() {
    explore(Budget { takeovers: 1, flushes: 0, deaths: 0, silences: 1 }, false);
}

/// Without the rule this property does not hold.
fn needs(rule: Rule, property: &'static str) {
    let once = property == ONCE;
    let mutant = Model { without: Some(rule), budget: Budget { silences: 1, ..USUAL }, once };
    let checker =
        mutant.checker().threads(2).finish_when(HasDiscoveries::AnyOf([property].into())).spawn_bfs().join();
    assert!(checker.discovery(property).is_some(), "{rule:?} is not missed by {property:?}");
}

#[test]
fn a_store_without_a_fence_is_noticed() {
    needs(Rule::FenceStore, "a task ends once");
}

#[test]
fn a_queue_without_a_fence_is_noticed() {
    needs(Rule::FenceQueue, "nothing is published of what has ended");
}

#[test]
fn scripts_that_do_not_know_the_incarnation_are_noticed() {
    needs(Rule::Incarnation, AGAIN);
}

#[test]
fn whoever_does_not_let_workers_tell_is_noticed() {
    needs(Rule::Announcing, AGAIN);
}

#[test]
fn a_worker_that_forgets_its_ends_is_noticed() {
    needs(Rule::KeptEnds, AGAIN);
}

#[test]
fn whoever_does_not_read_first_is_noticed() {
    needs(Rule::ReadFirst, "no end that was told is thrown away");
}

#[test]
fn a_leader_that_begins_to_speak_after_its_time_is_noticed() {
    needs(Rule::Tenure, AGAIN);
}

#[test]
fn whoever_offers_an_attempt_again_that_redis_lost_is_noticed() {
    needs(Rule::Forgotten, TWICE);
}

#[test]
fn a_worker_that_begins_before_the_word_is_noticed() {
    needs(Rule::Word, ONCE);
}

#[test]
fn a_report_that_counts_for_another_attempt_is_noticed() {
    needs(Rule::AttemptFence, "what ended is the attempt that was live");
}
