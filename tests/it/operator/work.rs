//! The objects that are to be looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relay::clock::Clock;
use relay::operator::Trouble;
use relay::operator::api::ApiError;
use relay::operator::work::{Work, drive};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::second;

fn work() -> Arc<Work<String>> {
    Arc::new(Work::new(Clock::manual(second(0))))
}

/// Lets so much time of the manual clock pass.
async fn pass(wait: Duration) {
    drop(tokio::time::timeout(wait, std::future::pending::<()>()).await);
}

#[tokio::test(start_paused = true)]
async fn an_object_is_looked_at_once_however_often_it_changed_and_again_if_it_changed_meanwhile() {
    let work = work();
    for _ in 0..5 {
        work.push("a".to_owned());
    }
    let key = work.take().await;
    work.push("a".to_owned());
    work.push("b".to_owned());
    assert_eq!(work.take().await, "b", "never two looks at one object at a time");
    work.done(&key);
    assert_eq!(work.take().await, "a");
    work.done(&key);
    assert!(tokio::time::timeout(Duration::from_secs(3600), work.take()).await.is_err(), "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn failures_come_back_later_and_later_and_success_forgets_them() {
    let work = work();
    work.push("a".to_owned());
    let mut waits = Vec::new();
    for _ in 0..20 {
        let key = work.take().await;
        waits.push(work.failed(&key, false).0);
    }
    assert!(waits[0] <= Duration::from_millis(200), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(60)), "{waits:?}");
    assert!(waits[19] >= Duration::from_secs(30), "{waits:?}");
    let key = work.take().await;
    work.done(&key);
    work.push("a".to_owned());
    let key = work.take().await;
    assert_eq!(work.failed(&key, true).1, 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_breaks_or_hangs_or_fails_stops_no_other() {
    let (work, stop) = (work(), CancellationToken::new());
    let looks: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    for name in ["panics", "hangs", "fails", "good-1", "good-2"] {
        work.push(name.to_owned());
    }
    let seen = looks.clone();
    let look = move |name: String| {
        *seen.lock().expect("whole").entry(name.clone()).or_default() += 1;
        async move {
            match name.as_str() {
                "panics" => panic!("on purpose"),
                "hangs" => std::future::pending().await,
                "fails" => Err(Trouble::Api(ApiError::Unavailable("away".to_owned()))),
                _ => Ok(()),
            }
        }
    };
    let driving = drive(&work, 2, &stop, look);
    let watching = async {
        pass(Duration::from_secs(300)).await;
        stop.cancel();
    };
    tokio::join!(driving, watching);
    let looks = looks.lock().expect("whole");
    assert_eq!((looks["good-1"], looks["good-2"]), (1, 1));
    assert!(looks["panics"] > 1 && looks["hangs"] > 1 && looks["fails"] > 3, "{looks:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_few_are_looked_at_at_a_time() {
    let (work, stop, gate) = (work(), CancellationToken::new(), Arc::new(Semaphore::new(0)));
    (0..100).for_each(|n| work.push(format!("object-{n}")));
    let counts: Arc<Mutex<(u32, u32)>> = Arc::default();
    let (counted, opens) = (counts.clone(), gate.clone());
    let look = move |_| {
        let (counts, gate) = (counted.clone(), opens.clone());
        async move {
            {
                let mut counts = counts.lock().expect("whole");
                counts.0 += 1;
                counts.1 = counts.1.max(counts.0);
            }
            gate.acquire().await.expect("open").forget();
            counts.lock().expect("whole").0 -= 1;
            Ok(())
        }
    };
    let watching = async {
        pass(Duration::from_secs(1)).await;
        gate.add_permits(100);
        pass(Duration::from_secs(1)).await;
        stop.cancel();
    };
    tokio::join!(drive(&work, 7, &stop, look), watching);
    assert_eq!(*counts.lock().expect("whole"), (0, 7));
}
