//! One call serves many, and none gets an answer that is older than its question.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use relay::operator::fresh::Fresh;
use tokio::sync::Semaphore;

#[tokio::test]
async fn many_questions_at_once_are_few_calls() {
    let fresh = Arc::new(Fresh::<&str, u64>::default());
    let (calls, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
    let asked = (0..500).map(|_| {
        let (fresh, calls, gate) = (fresh.clone(), calls.clone(), gate.clone());
        tokio::spawn(async move {
            let call = || async {
                let number = calls.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.expect("open").forget();
                number
            };
            fresh.ask(&"hello", call).await
        })
    });
    let asked: Vec<_> = asked.collect();
    while calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(500);
    for answer in asked {
        answer.await.expect("no panic");
    }
    assert!(calls.load(Ordering::SeqCst) <= 2, "{calls:?}");
}

#[tokio::test]
async fn an_answer_is_never_older_than_its_question() {
    let fresh = Arc::new(Fresh::<&str, &str>::default());
    let gate = Arc::new(Semaphore::new(0));
    let begun = Arc::new(Semaphore::new(0));
    let first = tokio::spawn({
        let (fresh, gate, begun) = (fresh.clone(), gate.clone(), begun.clone());
        async move {
            let call = || async {
                begun.add_permits(1);
                gate.acquire().await.expect("open").forget();
                "old"
            };
            fresh.ask(&"hello", call).await
        }
    });
    begun.acquire().await.expect("it began").forget();
    let second = tokio::spawn({
        let fresh = fresh.clone();
        async move { fresh.ask(&"hello", || async { "new" }).await }
    });
    // Another name waits for nobody.
    assert_eq!(fresh.ask(&"other", || async { "other" }).await, "other");
    gate.add_permits(1);
    assert_eq!(first.await.expect("no panic"), "old");
    assert_eq!(second.await.expect("no panic"), "new");
}
