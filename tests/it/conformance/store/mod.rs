//! What a store promises, case by case, kept by the one in memory and by the one in Postgres.

mod attempts;
mod commit;
pub mod expire;
mod heads;
mod history;
mod lead;
mod logs;
mod names;
mod refuse;
mod roll;
mod round_trip;
pub mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use relay::model::ids::ShardId;
use relay::store::memory::MemoryStore;
use relay::store::postgres::{PoolSettings, PostgresStore, migrate};
use relay::store::{Store, Upkeep};

use crate::support::TestDb;

/// A store under test, and a hand on the clock by which leadership is counted.
pub struct Bench {
    pub store: Arc<dyn Store>,
    /// The same.
    pub upkeep: Arc<dyn Upkeep>,
    clock: Clock,
}

enum Clock {
    Memory(Arc<AtomicI64>),
    Postgres(TestDb),
}

impl Bench {
    async fn memory() -> Bench {
        let ms = Arc::new(AtomicI64::new(1_700_000_000_000));
        let clock = ms.clone();
        let now = move || Timestamp::from_millisecond(clock.load(Ordering::SeqCst)).expect("a time");
        Bench::of(Arc::new(MemoryStore::new(Arc::new(now))), Clock::Memory(ms))
    }

    async fn postgres() -> Bench {
        let db = TestDb::new();
        migrate::up(db.url(), None).await.expect("migrated");
        let settings = PoolSettings { min_connections: 0, max_connections: 8, ..PoolSettings::new(db.url()) };
        let store = PostgresStore::connect(&settings).await.expect("connected");
        Bench::of(Arc::new(store), Clock::Postgres(db))
    }

    fn of(upkeep: Arc<dyn Upkeep>, clock: Clock) -> Bench {
        Bench { store: upkeep.clone(), upkeep, clock }
    }

    /// Lets the leader of a shard be silent for so long.
    pub async fn silence(&self, shard: ShardId, wait: SignedDuration) {
        let ms = i64::try_from(wait.as_millis()).expect("a short wait");
        match &self.clock {
            Clock::Memory(now) => drop(now.fetch_add(ms, Ordering::SeqCst)),
            Clock::Postgres(db) => {
                let age =
                    "update shards set renewed_at = renewed_at - $2 * interval '1 millisecond' where id = $1";
                let aged = sqlx::query(age).bind(i16::from(shard.number())).bind(ms as f64);
                assert_eq!(aged.execute(&db.pool().await).await.expect("aged").rows_affected(), 1);
            }
        }
    }
}

impl Bench {
    /// Lets a process say nothing of itself for so long.
    pub async fn absent(&self, holder: &str, wait: SignedDuration) {
        let ms = i64::try_from(wait.as_millis()).expect("a short wait");
        match &self.clock {
            Clock::Memory(now) => drop(now.fetch_add(ms, Ordering::SeqCst)),
            Clock::Postgres(db) => {
                let age = "update operators set seen_at = seen_at - $2 * interval '1 millisecond' where holder = $1";
                let aged = sqlx::query(age).bind(holder).bind(ms as f64);
                assert_eq!(aged.execute(&db.pool().await).await.expect("aged").rows_affected(), 1);
            }
        }
    }
}

/// Each case, once a store.
macro_rules! cases {
    ($($room:ident: $($case:ident),+;)+) => {
        mod memory {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                super::$room::$case(super::Bench::memory().await).await;
            })+)+
        }
        mod postgres {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                super::$room::$case(super::Bench::postgres().await).await;
            })+)+
        }
    };
}

cases! {
    round_trip: every_column_of_every_row_comes_back, a_revision_comes_back_with_its_edges,
        a_revision_that_is_there_stays_as_it_is, what_is_unknown_is_none, times_are_kept_to_the_microsecond,
        a_nul_is_replaced_and_harms_nobody, what_a_row_was_born_with_stays, approvals_come_back_in_order;
    commit: a_conflict_writes_nothing_at_all, a_second_birth_is_a_conflict, a_batch_writes_several_shards,
        a_batch_without_edges_leaves_the_position, a_thousand_runs_fit_into_one_batch, runs_are_read_many_at_once_each_as_alone, live_runs_come_oldest_first,
        an_empty_batch_is_nothing;
    lead: a_position_is_raised_by_its_leader_alone_and_never_falls, a_deposed_leader_writes_nothing, one_of_two_that_race_wins, silence_of_four_seconds_costs_the_shard,
        a_clock_that_was_put_back_keeps_nobody_from_leading, the_same_holder_begins_a_new_epoch, a_released_shard_is_free_and_its_epoch_over,
        one_of_many_commits_after_the_same_row_lands, a_batch_with_one_lost_shard_writes_none,
        shards_are_taken_all_or_none, all_shards_are_renewed_at_once_and_the_lost_one_is_named,
        two_that_race_for_many_shards_never_share_them;
    roll: whoever_came_first_stands_first, whoever_was_silent_comes_back_behind_the_others, the_roll_tells_who_leads_what,
        whoever_departs_gives_up_what_it_led, many_that_come_at_once_see_one_order;
    history: positions_have_no_gaps_under_concurrent_batches, rows_stand_in_the_order_of_the_batch,
        the_newest_come_first_and_no_more_than_asked, a_reader_of_a_shard_misses_nothing_and_sees_nothing_twice;
    attempts: an_attempt_is_written_at_its_start_and_at_its_end, attempts_of_one_commit_come_back_newest_first,
        a_commit_that_is_refused_leaves_no_attempt;
    heads: a_head_follows_its_workflow, heads_are_named_page_by_page, a_head_needs_the_epoch_alone, a_deposed_leader_moves_no_head,
        a_head_that_cannot_be_kept_is_refused;
    logs: lines_come_back_in_the_order_in_which_they_came, a_line_is_kept_once,
        lines_of_unknown_task_runs_are_dropped_and_counted, a_strange_line_harms_no_other,
        a_task_or_an_item_is_read_alone, a_page_has_a_bound_in_bytes, thousands_of_lines_go_in_at_once,
        a_reader_who_follows_misses_nothing;
    names: runs_of_a_name_come_newest_first, a_store_belongs_to_the_cluster_that_came_first,
        one_of_many_clusters_that_come_at_once_wins, a_store_that_is_there_answers;
    expire: what_ended_before_goes_whole, only_runs_of_a_leaders_own_shards_go, many_runs_go_in_steps_of_so_many_rows;
    refuse: what_can_never_be_written_is_refused, a_revision_that_contradicts_itself_is_refused;
}

#[tokio::test]
async fn memory_forgets_the_oldest_finished_runs_and_no_live_one() {
    commit::the_oldest_finished_runs_are_forgotten(Bench::memory().await).await;
}

#[tokio::test]
async fn memory_forgets_the_oldest_lines() {
    logs::the_oldest_lines_are_forgotten(Bench::memory().await).await;
}
