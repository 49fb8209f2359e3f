//! The queue in Postgres: its bounds, connections that are cut, and verbs that meet in the same moment.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use futures::future::{join, join_all};
use relay::model::job::{Job, JobId, News, Outcome};
use relay::queue::{
    Claim, Jobs, Pools, Position, Queue, QueueError, Roster,
    postgres::{Limits, PostgresJobs, PostgresQueue, PostgresSettings},
};
use relay::store::postgres::migrate;
use sqlx::PgPool;

use super::is_full;
use crate::support::{
    TestDb,
    jobs::{POOL, all_led, job, job_id, placed, report, second, success},
};

/// A queue in a database of its own.
struct Place {
    queue: Arc<PostgresQueue>,
    jobs: PostgresJobs,
    /// For a hand from outside.
    sql: PgPool,
    settings: PostgresSettings,
    /// Goes last.
    _db: TestDb,
}

async fn place(limits: Limits) -> Place {
    let db = TestDb::new();
    migrate::up(db.url(), None).await.expect("migrated");
    // Nobody looks by himself: who is not woken waits too long.
    let look = Duration::from_secs(600);
    let settings = PostgresSettings { limits, look, ..PostgresSettings::new(db.url()) };
    let queue = PostgresQueue::connect(&settings).await.expect("a queue");
    queue.lead(&all_led(1));
    Place { jobs: queue.jobs(), queue: Arc::new(queue), sql: db.pool().await, settings, _db: db }
}

fn claim(worker: &str, slots: usize, holding: &[JobId]) -> Claim {
    let pools = Pools::One(POOL.to_owned());
    Claim { worker: worker.to_owned(), pools, slots, holding: holding.to_vec() }
}

async fn soon<T>(wanted: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), wanted).await.expect("it should not wait")
}

fn numbers(jobs: &[Job]) -> Vec<u32> {
    jobs.iter().map(|job| job.id.task_run.key.task).collect()
}

impl Place {
    async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.sql).await.expect("done");
    }

    async fn take(&self, slots: usize, holding: &[JobId]) -> Vec<u32> {
        numbers(&soon(self.jobs.claim(&claim("w", slots, holding))).await.expect("a claim"))
    }

    /// Waits until somebody waits for a lock.
    async fn blocked(&self) {
        let waiting = "select count(*) from pg_locks l join pg_stat_activity a using (pid)
            where not l.granted and a.datname = current_database()";
        soon(async {
            while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&self.sql).await.expect("counted") == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn every_book_has_a_bound_and_room_again_later() {
    let place = place(Limits { pending: 2, reports: 2, workers: 1, job: 1 << 20 }).await;
    place.queue.publish(&[job(1), job(2)]).await.expect("there is room");
    place.queue.publish(&[job(2)]).await.expect("nothing new");
    is_full(place.queue.publish(&[job(3)]).await);
    assert_eq!(place.take(1, &[]).await, [1]);
    place.queue.publish(&[job(3)]).await.expect("there is room again");

    let news = || report("w", &job_id(1), News::Started);
    place.jobs.report(news()).await.expect("there is room");
    place.jobs.report(news()).await.expect("there is room");
    is_full(place.jobs.report(news()).await);
    place
        .jobs
        .report(report("w", &job_id(9), News::Started))
        .await
        .expect("of a job it does not hold: dropped");
    let told = soon(place.queue.reports(Position::START, 9)).await.expect("reports");
    place.queue.settle(told[1].at, &[]).await.expect("settled");
    place.jobs.report(news()).await.expect("there is room again");

    place.jobs.beat("w", &[], second(0)).await.expect("it is known");
    is_full(place.jobs.beat("v", &[], second(0)).await);
}

#[tokio::test]
async fn a_job_that_is_too_large_is_named_and_holds_up_no_other() {
    let place = place(Limits { job: 2_000, ..Limits::default() }).await;
    let large = Job { run_name: "x".repeat(2_000), ..job(1) };
    let unfit = place.queue.publish(&[large, job(2)]).await.expect("published");
    assert_eq!(unfit.iter().map(|unfit| unfit.job.clone()).collect::<Vec<_>>(), [job_id(1)]);
    assert!(unfit[0].why.contains("of at most 2000: hand over a reference"), "{}", unfit[0].why);
    assert_eq!(place.take(9, &[]).await, [2]);
}

#[tokio::test]
async fn a_worker_of_every_pool_takes_by_rank_and_is_woken_by_each() {
    let place = place(Limits::default()).await;
    let of = |pool: &str, n| Job { pool: pool.to_owned(), ..job(n) };
    let jobs = [of("b/x", 3), of("a/y", 2), of("c/z", 1), of("a/y", 4)];
    place.queue.publish(&jobs).await.expect("published");
    let every = Claim { pools: Pools::Every, ..claim("w", 9, &[]) };
    assert_eq!(numbers(&soon(place.jobs.claim(&every)).await.expect("a claim")), [1, 2, 3, 4]);
    let next = Claim { holding: jobs.iter().map(|job| job.id.clone()).collect(), ..every };
    let publish = async { place.queue.publish(&[of("d/v", 5)]).await };
    let (taken, published) = soon(join(place.jobs.claim(&next), publish)).await;
    published.expect("published");
    assert_eq!(numbers(&taken.expect("a claim")), [5]);
}

#[tokio::test]
async fn a_database_without_the_tables_says_what_to_do() {
    let db = TestDb::new();
    let error = PostgresJobs::connect(&PostgresSettings::new(db.url())).await.expect_err("no tables");
    assert!(error.to_string().contains("`relay migrate up` does it"), "{error}");
}

#[tokio::test]
async fn who_waits_is_woken_though_every_connection_was_cut() {
    let place = place(Limits::default()).await;
    place.jobs.beat("w", &[], second(0)).await.expect("a beat");
    let request = claim("w", 1, &[]);
    let mut waiting = pin!(place.jobs.claim(&request));
    let came = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
    assert!(came.is_err(), "it did not wait: {came:?}");
    place
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and application_name = 'relay-queue'",
        )
        .await;
    let published = soon(async {
        while place.queue.publish(&[job(1)]).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    let claimed = soon(async {
        match waiting.await {
            Ok(jobs) => jobs,
            // It was asking just then. Saying it again loses nothing.
            Err(_) => loop {
                if let Ok(jobs) = place.jobs.claim(&request).await {
                    return jobs;
                }
            },
        }
    });
    assert_eq!(numbers(&join(claimed, published).await.0), [1]);
}

#[tokio::test]
async fn an_older_leader_whose_word_is_on_its_way_when_a_newer_one_speaks_is_refused() {
    let place = place(Limits::default()).await;
    place.queue.publish(&[job(1)]).await.expect("published");
    let mut newer = place.sql.begin().await.expect("a transaction");
    sqlx::query("update queue_pools set epoch = 2").execute(&mut *newer).await.expect("heard");
    let late = [job(2)];
    let overtaken = async {
        place.blocked().await;
        newer.commit().await.expect("committed");
    };
    let (said, ()) = soon(join(place.queue.publish(&late), overtaken)).await;
    assert!(matches!(&said, Err(QueueError::Deposed { pool, epoch: 2 }) if pool == POOL), "{said:?}");
    place.queue.lead(&all_led(2));
    let census = place.queue.census(second(0)).await.expect("a census");
    assert_eq!(census.pending, [placed(1)]);
}

#[tokio::test]
async fn a_worker_that_claims_just_then_is_not_retired() {
    let place = place(Limits::default()).await;
    place.queue.publish(&[job(1)]).await.expect("published");
    place.jobs.beat("w", &[], second(0)).await.expect("a beat");
    // Its claim has come as far as its own row, and holds that, while the retiring has looked already.
    place.jobs.claim(&claim("w", 0, &[])).await.expect("it is known");
    let mut claiming = place.sql.begin().await.expect("a transaction");
    let steps =
        ["update queue_workers set claims = claims + 1", "update jobs set worker = 'w', claimed_at = now()"];
    for step in steps {
        sqlx::query(step).execute(&mut *claiming).await.expect("claimed");
    }
    let claimed = async {
        place.blocked().await;
        claiming.commit().await.expect("committed");
    };
    let (retired, ()) = soon(join(place.queue.retire(POOL, 1), claimed)).await;
    assert_eq!(retired.expect("an answer"), 0);
    assert!(!place.jobs.beat("w", &[job_id(1)], second(0)).await.expect("a beat").retired);
}

#[tokio::test]
async fn a_reader_that_follows_misses_no_report_of_many_tellers() {
    const TELLERS: u32 = 8;
    const EACH: u32 = 25;
    let place = place(Limits::default()).await;
    place.queue.publish(&(0..TELLERS).map(job).collect::<Vec<_>>()).await.expect("published");
    assert_eq!(place.take(TELLERS as usize, &[]).await.len(), TELLERS as usize);
    let tell = async |task: u32| {
        for _ in 0..EACH {
            place.jobs.report(report("w", &job_id(task), News::Started)).await.expect("reported");
        }
    };
    let read = async {
        let (mut after, mut seen) = (Position::START, 0);
        while seen < TELLERS * EACH {
            let page = place.queue.reports(after, 1_000).await.expect("reports");
            seen += u32::try_from(page.len()).expect("few");
            after = page[page.len() - 1].at;
            // What was read goes, as the conductor does it: nothing may come to light before it.
            place.queue.settle(after, &[]).await.expect("settled");
        }
        seen
    };
    let (seen, _) = soon(join(read, join_all((0..TELLERS).map(tell)))).await;
    assert_eq!(seen, TELLERS * EACH);
}

#[tokio::test]
async fn what_cannot_be_read_fails_or_is_passed_over_and_holds_up_no_other() {
    let place = place(Limits::default()).await;
    place.queue.publish(&[job(1), job(2)]).await.expect("published");
    place.execute("update jobs set body = '{}' where rank = 1").await;
    assert_eq!(place.take(2, &[]).await, [2]);
    place.jobs.report(report("w", &job_id(2), News::Started)).await.expect("reported");
    place.execute("update reports set body = 'x' where body like '%started%'").await;
    place.jobs.report(report("w", &job_id(2), success())).await.expect("reported");
    let told = soon(place.queue.reports(Position::START, 9)).await.expect("reports");
    assert_eq!(told.iter().map(|told| told.report.job.clone()).collect::<Vec<_>>(), [job_id(1), job_id(2)]);
    let News::Ended(Outcome::Failed { message, .. }) = &told[0].report.news else { panic!("{told:?}") };
    assert!(message.starts_with("the worker cannot read the job (missing field"), "{message}");
    place.queue.settle(told[1].at, &[placed(1), placed(2)]).await.expect("settled");
    let left: i64 = sqlx::query_scalar("select (select count(*) from reports) + (select count(*) from jobs)")
        .fetch_one(&place.sql)
        .await
        .expect("counted");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn workers_of_two_processes_never_share_a_job() {
    const JOBS: u32 = 200;
    let place = place(Limits::default()).await;
    place.queue.publish(&(0..JOBS).map(job).collect::<Vec<_>>()).await.expect("published");
    let elsewhere = PostgresJobs::connect(&place.settings).await.expect("another process");
    let work = async |n: u32| {
        let (jobs, worker) = (if n.is_multiple_of(2) { &place.jobs } else { &elsewhere }, format!("w{n}"));
        let mut taken = Vec::new();
        for _ in 0..JOBS / 20 {
            let holding: Vec<JobId> = taken.iter().map(|n| job_id(*n)).collect();
            taken.extend(numbers(&jobs.claim(&claim(&worker, 2, &holding)).await.expect("a claim")));
        }
        taken
    };
    // Each asks for as many as are its share, so that nobody waits for more.
    let taken: Vec<u32> = soon(join_all((0..10).map(work))).await.into_iter().flatten().collect();
    assert_eq!(taken.len(), JOBS as usize);
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), (0..JOBS).collect());
}
