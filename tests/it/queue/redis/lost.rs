//! Redis loses its content: workers tell what they hold and how it ended, and nothing is run twice for that.

use std::time::Duration;

use relay::link::RedisSettings;
use relay::model::job::News;
use relay::queue::{
    Jobs, Orders, Position, Queue, Removal,
    redis::{Limits, RedisQueue},
};

use super::{Hand, books, census, conductor, is_unavailable, reports, soon, still_waits, until, worker};
use crate::support::{
    RedisServer,
    jobs::{all_led, job, job_id, placed, report, success},
};

/// A conductor, and a worker `w` that runs job 0, has told the end of job 1, and leaves job 2 pending.
pub(super) async fn at_work(settings: &RedisSettings) -> (std::sync::Arc<RedisQueue>, Hand) {
    let queue = conductor(settings).await;
    let w = worker(settings, "w").await;
    queue.publish(&[job(0), job(1), job(2)]).await.expect("published");
    assert_eq!(w.claim(2).await, [job_id(0), job_id(1)]);
    w.jobs.report(report("w", &job_id(0), News::Started)).await.expect("told");
    w.jobs.report(report("w", &job_id(1), success())).await.expect("told");
    until("the settings' announcing is over", async || (!census(&queue).await.announcing).then_some(()))
        .await;
    (queue, w)
}

/// The server, with workers given so long to tell what they hold.
pub(super) fn with_time(server: &RedisServer, announce: Duration) -> RedisSettings {
    let mut settings = server.settings();
    settings.announce = announce;
    settings
}

pub(super) async fn the_workers_word_is_taken(queue: &RedisQueue, w: &Hand) {
    // Until the worker has spoken, nobody may believe that its jobs are gone.
    let unknown = census(queue).await;
    assert!(unknown.announcing);
    assert_eq!(books(&unknown), (vec![], vec![]));
    assert_eq!(
        queue.remove(&placed(0)).await.expect("an answer"),
        Removal::Claimed,
        "in doubt somebody has it"
    );
    is_unavailable(w.jobs.report(report("w", &job_id(0), News::Started)).await);
    soon(w.jobs.called("w")).await.expect("it should beat at once");
    let one_to_settle = Orders { unsettled: 1, ..Orders::default() };
    assert_eq!(w.beat(&[job_id(0)]).await.expect("a beat"), one_to_settle, "nothing is abandoned");

    let told = census(queue).await;
    assert_eq!(books(&told), (vec![], vec![(job_id(0), "w"), (job_id(1), "w")]));
    let ends = reports(queue, Position::START).await;
    let again = ends.iter().filter(|t| t.report.job == job_id(1) && t.report.news == success()).count();
    assert!(again >= 1, "the end that was not settled is told again: {ends:?}");
    assert_eq!(told.reported, ends[ends.len() - 1].at);

    // Only then are the others published again, and the run goes on.
    until("everybody has told", async || (!census(queue).await.announcing).then_some(())).await;
    queue.publish(&[job(0), job(1), job(2)]).await.expect("published");
    assert_eq!(books(&census(queue).await).0, [job_id(2)], "what is held is not offered again");
    assert_eq!(w.claim_knowing(1, &[job_id(0)]).await, [job_id(2)]);
    w.jobs.report(report("w", &job_id(0), success())).await.expect("told");
    let all = reports(queue, told.reported).await;
    assert_eq!(all[0].report.job, job_id(0));
    queue.settle(all[0].at, &[placed(0), placed(1)]).await.expect("settled");
    assert_eq!(w.beat(&[job_id(2)]).await.expect("a beat"), Orders::default());
    assert_eq!(books(&census(queue).await), (vec![], vec![(job_id(2), "w")]));
}

#[tokio::test]
async fn an_operator_that_knew_redis_by_the_names_of_before_is_replaced_and_nothing_is_told_anew() {
    let server = RedisServer::start(&[]).await;
    let settings = with_time(&server, Duration::from_secs(600));
    let old = conductor(&settings).await;
    let w = worker(&settings, "w").await;
    old.publish(&[job(0), job(1)]).await.expect("published");
    assert_eq!(w.claim(1).await, [job_id(0)]);
    drop(old);
    // As an older version leaves it.
    server.say(&["RENAME", "relay:{incarnation}", "relay:incarnation"]).await;
    server.say(&["DEL", "relay:{incarnation}:announcing"]).await;
    let new = conductor(&settings).await;
    let found = census(&new).await;
    assert!(!found.announcing, "nobody has anything to tell");
    assert_eq!(books(&found), (vec![job_id(1)], vec![(job_id(0), "w")]));
    assert_eq!(server.say(&["EXISTS", "relay:incarnation"]).await, redis::Value::Int(0));
    w.jobs.report(report("w", &job_id(0), success())).await.expect("it goes on in the same books");

    // What an older version says of another life of the server is not believed.
    server.say(&["DEL", "relay:{incarnation}"]).await;
    server.say(&["HSET", "relay:incarnation", "id", "1", "server", "another"]).await;
    let newer = conductor(&settings).await;
    assert!(census(&newer).await.announcing, "it began anew");
}

impl Hand {
    async fn claim_knowing(
        &self,
        slots: usize,
        holding: &[relay::model::job::JobId],
    ) -> Vec<relay::model::job::JobId> {
        let claimed = soon(self.try_claim(slots, holding)).await.expect("a claim");
        claimed.into_iter().map(|job| job.id).collect()
    }
}

#[tokio::test]
async fn an_emptied_redis_is_filled_by_what_workers_tell() {
    let server = RedisServer::start(&[]).await;
    let (queue, w) = at_work(&with_time(&server, Duration::from_secs(2))).await;
    server.say(&["FLUSHALL"]).await;
    is_unavailable(w.beat(&[job_id(0)]).await);
    the_workers_word_is_taken(&queue, &w).await;
}

/// Redis wakes nobody when it is emptied: neither who waits for reports, nor a worker that waits for orders alone.
#[tokio::test]
async fn both_sides_notice_an_emptied_redis_though_they_have_nothing_to_say() {
    let server = RedisServer::start(&[]).await;
    let mut settings = with_time(&server, Duration::from_secs(600));
    // Blocked waits begin anew all the time, and looks are not put off by that.
    settings.look = Duration::from_millis(200);
    let (queue, w) = (conductor(&settings).await, worker(&settings, "w").await);
    server.say(&["DEL", "relay:{incarnation}:announcing"]).await;
    queue.publish(&[job(0), job(1)]).await.expect("published");
    assert_eq!(w.claim(1).await, [job_id(0)]);
    assert!(!census(&queue).await.announcing);
    let (lost, called) = (queue.reports(Position::START, 1), w.jobs.called("w"));
    let (mut lost, mut called) = (Box::pin(lost), Box::pin(called));
    still_waits(async { drop(futures::future::select(&mut lost, &mut called).await) }).await;
    server.say(&["FLUSHALL"]).await;
    is_unavailable(soon(lost).await);
    // Nobody has opened the books yet, so there is nothing to tell them.
    still_waits(&mut called).await;
    assert!(census(&queue).await.announcing);
    soon(called).await.expect("the books are others");
    w.beat(&[job_id(0)]).await.expect("a beat");
    assert_eq!(books(&census(&queue).await), (vec![], vec![(job_id(0), "w")]));
    // What was waiting is missing as soon as that is certain, though so much of the time to tell is left.
    until("everybody has told", async || (!census(&queue).await.announcing).then_some(())).await;
}

#[tokio::test]
async fn a_redis_that_restarts_empty_is_filled_by_what_workers_tell() {
    let mut server = RedisServer::start(&[]).await;
    let (queue, w) = at_work(&with_time(&server, Duration::from_secs(2))).await;
    server.kill();
    is_unavailable(w.beat(&[job_id(0)]).await);
    is_unavailable(queue.publish(&[job(7)]).await);
    server.start_again().await;
    until("the conductor is back", async || queue.ping().await.ok()).await;
    the_workers_word_is_taken(&queue, &w).await;
}

#[tokio::test]
async fn books_that_survived_a_restart_are_not_believed_and_reports_are() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let (queue, w) = at_work(&with_time(&server, Duration::from_secs(2))).await;
    let v = worker(&server.settings(), "v").await;
    server.kill();
    is_unavailable(w.beat(&[job_id(0)]).await);
    server.start_again().await;
    // Job 2 is still pending there, and might have been finished since: nobody gets it before it is offered anew.
    is_unavailable(v.try_claim(1, &[]).await);
    until("the conductor is back", async || queue.ping().await.ok()).await;
    // Whoever finds another life looks at its books before anything else.
    is_unavailable(queue.reports(Position::START, 1).await);
    census(&queue).await;
    let all = reports(&queue, Position::START).await;
    assert!(all.iter().any(|t| t.report.job == job_id(1) && t.report.news == success()), "{all:?}");
    the_workers_word_is_taken(&queue, &w).await;
}

#[tokio::test]
async fn a_job_that_was_offered_again_too_early_stays_with_whoever_runs_it() {
    let server = RedisServer::start(&[]).await;
    let settings = with_time(&server, Duration::from_millis(1));
    let (queue, w) = at_work(&settings).await;
    let v = worker(&settings, "v").await;
    server.say(&["FLUSHALL"]).await;
    queue.publish(&[job(0), job(1)]).await.expect("published");
    assert_eq!(v.claim(1).await, [job_id(0)], "before anybody knew better");
    let orders = w.beat(&[job_id(0)]).await.expect("a beat");
    assert_eq!(orders.abandoned, [job_id(0)], "one of the two has to stop");
    assert_eq!(books(&census(&queue).await), (vec![], vec![(job_id(0), "v"), (job_id(1), "w")]));
    let ends = reports(&queue, Position::START).await;
    assert!(
        ends.iter().any(|t| t.report.job == job_id(1) && t.report.worker == "w"),
        "its end is told again: {ends:?}"
    );
}

#[tokio::test]
async fn a_pool_that_is_opened_after_a_loss_that_nobody_noticed_is_waited_for_as_well() {
    let server = RedisServer::start(&[]).await;
    let settings = with_time(&server, Duration::from_secs(5));
    let (_, w) = at_work(&settings).await;
    // It knows the incarnation, and has no pool open yet.
    server.say(&["DEL", "relay:pools"]).await;
    let queue = RedisQueue::new(&settings, Limits::default()).expect("a queue");
    queue.lead(&all_led(2));
    until("nobody tells anything", async || (!census(&queue).await.announcing).then_some(())).await;
    server.say(&["FLUSHALL"]).await;
    assert_eq!(queue.remove(&placed(0)).await.expect("an answer"), Removal::Claimed, "somebody may have it");
    assert!(census(&queue).await.announcing);
    w.beat(&[job_id(0)]).await.expect("a beat");
    assert_eq!(books(&census(&queue).await).1, [(job_id(0), "w"), (job_id(1), "w")]);
}

#[tokio::test]
async fn an_unknown_worker_is_waited_for() {
    let server = RedisServer::start(&[]).await;
    let settings = with_time(&server, Duration::from_secs(2));
    let (_, w) = at_work(&settings).await;
    server.say(&["FLUSHALL"]).await;
    // A conductor that never knew any worker cannot know who is missing.
    let queue = conductor(&settings).await;
    assert!(census(&queue).await.announcing);
    w.beat(&[job_id(0)]).await.expect("a beat");
    assert!(census(&queue).await.announcing, "there may be others");
    until("the time to tell is over", async || (!census(&queue).await.announcing).then_some(())).await;
    assert_eq!(books(&census(&queue).await).1, [(job_id(0), "w"), (job_id(1), "w")]);
}

#[tokio::test]
async fn a_new_conductor_on_a_whole_redis_knows_at_once() {
    let server = RedisServer::start(&[]).await;
    let settings = with_time(&server, Duration::from_millis(1));
    let (first, _w) = at_work(&settings).await;
    let before = reports(&first, Position::START).await;
    let queue = conductor(&settings).await;
    let seen = census(&queue).await;
    assert!(!seen.announcing);
    assert_eq!(books(&seen), (vec![job_id(2)], vec![(job_id(0), "w"), (job_id(1), "w")]));
    let told: Vec<_> = reports(&queue, Position::START).await.into_iter().map(|t| t.report).collect();
    assert_eq!(told, before.into_iter().map(|t| t.report).collect::<Vec<_>>(), "all that is not settled");
}

#[tokio::test]
async fn positions_rise_over_a_loss() {
    let server = RedisServer::start(&[]).await;
    let (queue, w) = at_work(&with_time(&server, Duration::from_millis(1))).await;
    let before = reports(&queue, Position::START).await;
    let last = before[before.len() - 1].at;
    queue.settle(last, &[]).await.expect("settled");
    w.beat(&[job_id(0)]).await.expect("a beat");
    server.say(&["FLUSHALL"]).await;
    census(&queue).await;
    w.beat(&[job_id(0)]).await.expect("a beat");
    w.jobs.report(report("w", &job_id(0), success())).await.expect("told");
    let after = reports(&queue, last).await;
    assert_eq!(after.len(), 1, "what was settled is not told again: {after:?}");
    assert!(after[0].at > last);
    // What was read before the loss may be settled after it, without harm to what came since.
    queue.settle(last, &[]).await.expect("settled");
    assert_eq!(reports(&queue, Position::START).await, after);
}

#[tokio::test]
async fn an_end_that_its_worker_kept_counts_though_another_has_begun_again() {
    let server = RedisServer::start(&[]).await;
    let settings = with_time(&server, Duration::ZERO);
    let (queue, w) = at_work(&settings).await;
    let v = worker(&settings, "v").await;
    server.say(&["FLUSHALL"]).await;
    census(&queue).await;
    // The worker with the end is slow to speak, and the time for that is over.
    queue.publish(&[job(1)]).await.expect("published");
    v.beat(&[]).await.expect("a beat");
    assert_eq!(v.claim(1).await, [job_id(1)]);
    w.beat(&[job_id(0)]).await.expect("a beat");
    let ends = reports(&queue, Position::START).await;
    let told = ends.iter().filter(|t| t.report.job == job_id(1) && t.report.worker == "w");
    assert_eq!(told.count(), 1, "{ends:?}");
    soon(v.jobs.called("v")).await.expect("a call");
    assert_eq!(v.beat(&[job_id(1)]).await.expect("a beat").abandoned, [job_id(1)]);
}
