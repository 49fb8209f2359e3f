//! Reports: kept, in order, until they are settled.

use relay::model::job::News;
use relay::queue::{Position, Told};

use super::{Ends, over_every_queue, soon, still_waits};
use crate::support::jobs::{POOL, job, job_id, placed, report, success};

over_every_queue! {
    reports_come_in_order_and_stay, a_second_reader_reads_them_again, a_blocked_reader_wakes,
    a_lease_stays_until_it_is_settled, settling_twice_is_settling_once, what_is_settled_is_forgotten,
    a_report_said_twice_says_the_same, news_of_a_job_that_is_not_held_is_dropped,
    the_census_tells_which_report_to_wait_for,
}

/// A queue in which worker `w` holds so many jobs, from 0.
async fn held(ends: &Ends, count: u32) {
    ends.queue.publish(&(0..count).map(job).collect::<Vec<_>>()).await.expect("published");
    assert_eq!(ends.claim("w", count as usize).await.len(), count as usize);
}

async fn tell(ends: &Ends, task: u32, news: News) {
    ends.jobs.report(report("w", &job_id(task), news)).await.expect("reported");
}

async fn read(ends: &Ends, after: Position, max: usize) -> Vec<Told> {
    soon(ends.queue.reports(after, max)).await.expect("reports")
}

fn told(reports: &[Told]) -> Vec<(u32, bool)> {
    assert!(reports.iter().all(|told| *told.pool == *POOL), "{reports:?}");
    let news = |Told { report, .. }: &Told| (report.job.task_run.key.task, report.news != News::Started);
    reports.iter().map(news).collect()
}

async fn reports_come_in_order_and_stay(ends: Ends) {
    held(&ends, 2).await;
    tell(&ends, 1, News::Started).await;
    tell(&ends, 0, News::Started).await;
    tell(&ends, 1, success()).await;
    let all = read(&ends, Position::START, 10).await;
    assert_eq!(told(&all), [(1, false), (0, false), (1, true)]);
    assert!(all.windows(2).all(|pair| pair[0].at < pair[1].at), "positions rise: {all:?}");
    assert!(all[0].at > Position::START);
    assert_eq!(told(&read(&ends, all[0].at, 10).await), [(0, false), (1, true)]);
    assert_eq!(told(&read(&ends, Position::START, 2).await), [(1, false), (0, false)]);
    assert_eq!(told(&read(&ends, Position::START, 0).await), [(1, false)]);
}

async fn a_second_reader_reads_them_again(ends: Ends) {
    held(&ends, 3).await;
    for task in 0..3 {
        tell(&ends, task, success()).await;
    }
    let first = read(&ends, Position::START, 10).await;
    ends.queue.settle(first[0].at, &[placed(0)]).await.expect("settled");
    assert_eq!(read(&ends, Position::START, 10).await, first[1..], "all that is not settled, where it was");
}

async fn a_blocked_reader_wakes(ends: Ends) {
    held(&ends, 1).await;
    let mut waiting = ends.queue.reports(Position::START, 10);
    still_waits(&mut waiting).await;
    tell(&ends, 0, News::Started).await;
    let came = soon(waiting).await.expect("reports");
    assert_eq!(told(&came), [(0, false)]);
    still_waits(&mut ends.queue.reports(came[0].at, 10)).await;
}

async fn a_lease_stays_until_it_is_settled(ends: Ends) {
    held(&ends, 2).await;
    tell(&ends, 0, success()).await;
    let lease = |n| (job_id(n), "w".to_owned());
    assert_eq!(ends.books().await, (vec![], vec![lease(0), lease(1)]));
    let end = read(&ends, Position::START, 10).await;
    ends.queue.settle(end[0].at, &[placed(0)]).await.expect("settled");
    assert_eq!(ends.books().await, (vec![], vec![lease(1)]));
}

async fn settling_twice_is_settling_once(ends: Ends) {
    held(&ends, 2).await;
    tell(&ends, 0, success()).await;
    tell(&ends, 1, success()).await;
    let all = read(&ends, Position::START, 10).await;
    ends.queue.settle(all[1].at, &[placed(0), placed(1)]).await.expect("settled");
    let books = ends.books().await;
    ends.queue.settle(all[0].at, &[placed(0)]).await.expect("settled");
    ends.queue.settle(Position::START, &[placed(7)]).await.expect("settled");
    assert_eq!(ends.books().await, books);
    still_waits(&mut ends.queue.reports(Position::START, 10)).await;
}

async fn what_is_settled_is_forgotten(ends: Ends) {
    held(&ends, 1).await;
    ends.queue.publish(&[job(1)]).await.expect("published");
    ends.queue.settle(Position::START, &[placed(0), placed(1)]).await.expect("settled");
    assert_eq!(ends.books().await, (vec![], vec![]), "pending or leased, it is over");
}

async fn a_report_said_twice_says_the_same(ends: Ends) {
    held(&ends, 1).await;
    tell(&ends, 0, success()).await;
    tell(&ends, 0, success()).await;
    let mut all = read(&ends, Position::START, 10).await;
    let up_to = all[all.len() - 1].at;
    all.dedup_by_key(|told| told.report.job.clone());
    assert_eq!(told(&all), [(0, true)]);
    ends.queue.settle(up_to, &[placed(0)]).await.expect("settled");
    assert_eq!(ends.books().await, (vec![], vec![]));
}

async fn news_of_a_job_that_is_not_held_is_dropped(ends: Ends) {
    held(&ends, 1).await;
    ends.jobs.report(report("stranger", &job_id(0), success())).await.expect("heard, and dropped");
    tell(&ends, 5, success()).await;
    ends.queue.settle(Position::START, &[placed(0)]).await.expect("settled");
    tell(&ends, 0, success()).await;
    still_waits(&mut ends.queue.reports(Position::START, 10)).await;
    assert_eq!(ends.books().await, (vec![], vec![]));
}

async fn the_census_tells_which_report_to_wait_for(ends: Ends) {
    held(&ends, 1).await;
    tell(&ends, 0, News::Started).await;
    tell(&ends, 0, success()).await;
    let end = read(&ends, Position::START, 10).await[1].at;
    let now = crate::support::jobs::second(0);
    assert_eq!(ends.queue.census(now).await.expect("a census").reported, end);
    ends.queue.settle(end, &[placed(0)]).await.expect("settled");
    let reported = ends.queue.census(now).await.expect("a census").reported;
    assert_eq!(reported, Position::START, "a conductor that comes now has nothing to read");
}
