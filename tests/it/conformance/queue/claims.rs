//! Offering and claiming: order, bounds, waiting, and that nothing is given twice or lost.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use relay::model::job::Job;
use relay::queue::{Claim, Pools, Removal};
use tokio_util::sync::CancellationToken;

use super::{Ends, claim, numbers, over_every_queue, soon, still_waits};
use crate::support::jobs::{job, job_id, placed, report, success};

/// Long enough for ten thousand jobs on a machine that has other work.
const LONG: Duration = Duration::from_secs(600);

over_every_queue! {
    the_smallest_rank_goes_first, a_claim_takes_no_more_than_its_slots, pools_do_not_mix,
    a_blocked_claim_wakes, a_dropped_claim_loses_nothing,
    a_job_published_twice_is_one, a_job_is_taken_back_only_while_nobody_has_it,
    an_answer_that_was_lost_is_given_again, what_a_worker_never_heard_of_goes_back_when_it_drains, ten_workers_get_ten_jobs_once_each,
    a_hundred_workers_get_ten_thousand_jobs_once_each,
}

async fn the_smallest_rank_goes_first(ends: Ends) {
    let ranked = |n, rank| Job { rank, ..job(n) };
    let jobs = [ranked(1, 30), ranked(2, -5), ranked(3, 20), ranked(4, 20)];
    ends.queue.publish(&jobs).await.expect("published");
    assert_eq!(numbers(&ends.claim("w", 9).await), [2, 3, 4, 1]);
}

async fn a_claim_takes_no_more_than_its_slots(ends: Ends) {
    ends.queue.publish(&[job(1), job(2), job(3)]).await.expect("published");
    assert_eq!(numbers(&ends.claim("w", 2).await), [1, 2]);
    assert_eq!(numbers(&ends.claim("v", 0).await), [0; 0]);
    assert_eq!(numbers(&ends.claim("v", 2).await), [3]);
}

async fn pools_do_not_mix(ends: Ends) {
    let theirs = Job { pool: "data/gpu".to_owned(), ..job(1) };
    ends.queue.publish(&[theirs, job(2)]).await.expect("published");
    assert_eq!(numbers(&ends.claim("w", 9).await), [2]);
    let gpu = Claim { pools: Pools::One("data/gpu".to_owned()), ..claim("v", 9) };
    assert_eq!(numbers(&soon(ends.jobs.claim(&gpu)).await.expect("a claim")), [1]);
}

async fn a_blocked_claim_wakes(ends: Ends) {
    let ask = claim("w", 1);
    let mut waiting = ends.jobs.claim(&ask);
    still_waits(&mut waiting).await;
    let theirs = Job { pool: "data/gpu".to_owned(), ..job(1) };
    ends.queue.publish(&[theirs]).await.expect("published");
    still_waits(&mut waiting).await;
    ends.queue.publish(&[job(2)]).await.expect("published");
    assert_eq!(numbers(&soon(waiting).await.expect("a claim")), [2]);
}

async fn a_dropped_claim_loses_nothing(ends: Ends) {
    let ask = claim("gone", 1);
    let mut waiting = ends.jobs.claim(&ask);
    still_waits(&mut waiting).await;
    ends.queue.publish(&[job(1)]).await.expect("published");
    // Woken, and never looked at again.
    drop(waiting);
    assert_eq!(numbers(&ends.claim("w", 1).await), [1]);
    assert_eq!(ends.books().await, (vec![], vec![(job_id(1), "w".to_owned())]));
}

async fn a_job_published_twice_is_one(ends: Ends) {
    ends.queue.publish(&[job(1), job(1)]).await.expect("published");
    ends.queue.publish(&[Job { rank: 99, ..job(1) }]).await.expect("published");
    let claimed = ends.claim("w", 9).await;
    assert_eq!(claimed, [job(1)], "the first offer stands");
    ends.queue.publish(&[job(1)]).await.expect("published");
    assert_eq!(ends.books().await.0, [], "a job that is leased is not pending as well");
    ends.jobs.report(report("w", &job_id(1), success())).await.expect("reported");
    ends.queue.publish(&[job(1)]).await.expect("published");
    assert_eq!(ends.books().await, (vec![], vec![(job_id(1), "w".to_owned())]), "ended, but not settled");
}

async fn a_job_is_taken_back_only_while_nobody_has_it(ends: Ends) {
    assert_eq!(ends.queue.remove(&placed(1)).await.expect("an answer"), Removal::Absent);
    ends.queue.publish(&[job(1), job(2)]).await.expect("published");
    assert_eq!(numbers(&ends.claim("w", 1).await), [1]);
    assert_eq!(ends.queue.remove(&placed(1)).await.expect("an answer"), Removal::Claimed);
    assert_eq!(ends.queue.remove(&placed(2)).await.expect("an answer"), Removal::Removed);
    assert_eq!(ends.queue.remove(&placed(2)).await.expect("an answer"), Removal::Absent);
    assert_eq!(ends.books().await, (vec![], vec![(job_id(1), "w".to_owned())]));
    ends.queue.publish(&[job(2)]).await.expect("published");
    assert_eq!(ends.books().await.0, [job_id(2)], "what was taken back may be offered again");
}

async fn an_answer_that_was_lost_is_given_again(ends: Ends) {
    ends.queue.publish(&[job(1), job(2), job(3), job(4)]).await.expect("published");
    assert_eq!(numbers(&ends.claim("w", 3).await), [1, 2, 3]);
    ends.jobs.report(report("w", &job_id(3), success())).await.expect("reported");
    // It runs 1, has ended 3, and never heard of 2.
    let ask = Claim { holding: vec![job_id(1)], ..claim("w", 2) };
    assert_eq!(numbers(&soon(ends.jobs.claim(&ask)).await.expect("a claim")), [2, 4]);
    let full = Claim { holding: vec![job_id(1), job_id(2), job_id(4)], ..claim("w", 1) };
    still_waits(&mut ends.jobs.claim(&full)).await;
}

async fn what_a_worker_never_heard_of_goes_back_when_it_drains(ends: Ends) {
    let ranked = |n, rank| Job { rank, ..job(n) };
    ends.queue.publish(&[ranked(1, 1), ranked(2, 2), ranked(3, 3), ranked(4, 4)]).await.expect("published");
    assert_eq!(numbers(&ends.claim("w", 3).await), [1, 2, 3]);
    ends.jobs.report(report("w", &job_id(3), success())).await.expect("reported");
    // It runs 1, has ended 3, and never heard of 2.
    for _ in 0..2 {
        ends.jobs.give_back("w", &[job_id(1)]).await.expect("given back");
        let (pending, leases) = ends.books().await;
        assert_eq!(BTreeSet::from_iter(pending), BTreeSet::from([job_id(2), job_id(4)]));
        let held: BTreeSet<_> = leases.into_iter().collect();
        assert_eq!(held, [(job_id(1), "w".to_owned()), (job_id(3), "w".to_owned())].into());
    }
    assert_eq!(numbers(&ends.claim("v", 9).await), [2, 4], "by their ranks as before");
}

async fn ten_workers_get_ten_jobs_once_each(ends: Ends) {
    let asks: Vec<Claim> = (0..10).map(|n| claim(&format!("w{n}"), 1)).collect();
    let mut waiting: Vec<_> = asks.iter().map(|ask| ends.jobs.claim(ask)).collect();
    for claim in &mut waiting {
        still_waits(claim).await;
    }
    ends.queue.publish(&(0..10).map(job).collect::<Vec<_>>()).await.expect("published");
    let got = soon(join_all(waiting)).await;
    let taken: Vec<u32> = got.iter().flat_map(|jobs| numbers(jobs.as_ref().expect("a claim"))).collect();
    assert_eq!(taken.len(), 10);
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), (0..10).collect());
}

async fn a_hundred_workers_get_ten_thousand_jobs_once_each(ends: Ends) {
    const JOBS: u32 = 10_000;
    let (taken, done) = (tokio::sync::Mutex::new(Vec::new()), CancellationToken::new());
    let work = |n: usize| {
        let (ends, taken, done) = (&ends, &taken, &done);
        async move {
            let worker = format!("w{n}");
            let ask = claim(&worker, 1 + n % 4);
            while let Some(jobs) = done.run_until_cancelled(ends.jobs.claim(&ask)).await {
                let jobs = jobs.expect("a claim");
                assert!(jobs.len() <= ask.slots, "{} jobs for {} slots", jobs.len(), ask.slots);
                for job in &jobs {
                    ends.jobs.report(report(&worker, &job.id, success())).await.expect("reported");
                }
                let mut taken = taken.lock().await;
                taken.extend(numbers(&jobs));
                if taken.len() >= JOBS as usize {
                    done.cancel();
                }
            }
        }
    };
    let offer = async {
        for n in 0..JOBS / 100 {
            let jobs: Vec<Job> = (n * 100..(n + 1) * 100).map(job).collect();
            ends.queue.publish(&jobs).await.expect("published");
            tokio::task::yield_now().await;
        }
    };
    let all = async { tokio::join!(join_all((0..100).map(work)), offer) };
    tokio::time::timeout(LONG, all).await.expect("all of them are taken");
    let taken = taken.into_inner();
    assert_eq!(taken.len(), JOBS as usize, "none twice");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), (0..JOBS).collect(), "and none lost");
}
