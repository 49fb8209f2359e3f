//! Who may lead a part of the shards.

use jiff::SignedDuration;
use relay::conductor::every_shard;
use relay::model::ids::ShardId;
use relay::store::{Roll, StoreError};

use super::Bench;
use super::rows::lead;

fn names(roll: &Roll) -> Vec<&str> {
    roll.members.iter().map(|member| member.holder.as_str()).collect()
}

async fn attend(bench: &Bench, holder: &str) -> Roll {
    bench.store.attend(holder, 2).await.expect("an answer")
}

pub async fn whoever_came_first_stands_first(bench: Bench) {
    assert_eq!(names(&attend(&bench, "a").await), ["a"]);
    assert_eq!(names(&attend(&bench, "b").await), ["a", "b"]);
    let roll = bench.store.attend("c", 3).await.expect("an answer");
    assert_eq!(names(&roll), ["a", "b", "c"]);
    // Said again it changes nothing; told otherwise it is told otherwise at once.
    assert_eq!(names(&attend(&bench, "a").await), ["a", "b", "c"]);
    let roll = bench.store.attend("b", 1).await.expect("an answer");
    assert_eq!(roll.members.iter().map(|member| member.leaders).collect::<Vec<_>>(), [2, 1, 3]);
    assert_eq!(attend(&bench, "a").await.members, roll.members);
}

pub async fn whoever_was_silent_comes_back_behind_the_others(bench: Bench) {
    attend(&bench, "a").await;
    attend(&bench, "b").await;
    bench.absent("a", SignedDuration::from_secs(3)).await;
    assert_eq!(names(&attend(&bench, "b").await), ["a", "b"]);
    // It is heard in time, and keeps its place.
    assert_eq!(names(&attend(&bench, "a").await), ["a", "b"]);
    bench.absent("a", SignedDuration::from_secs(2)).await;
    assert_eq!(names(&attend(&bench, "b").await), ["a", "b"]);
    bench.absent("a", SignedDuration::from_secs(2)).await;
    assert_eq!(names(&attend(&bench, "b").await), ["b"]);
    assert_eq!(names(&attend(&bench, "a").await), ["b", "a"]);
    bench.absent("a", SignedDuration::from_secs(120)).await;
    assert_eq!(names(&attend(&bench, "c").await).last(), Some(&"c"));
    assert!(!names(&attend(&bench, "c").await).contains(&"a"), "it is forgotten");
}

pub async fn the_roll_tells_who_leads_what(bench: Bench) {
    let store = &bench.store;
    assert!(attend(&bench, "a").await.led.is_empty());
    let [one, other] = [3, 9].map(|n| ShardId::new(n).expect("a shard"));
    lead(store.as_ref(), one, "a").await;
    let fence = lead(store.as_ref(), other, "nobody-on-the-roll").await;
    let roll = attend(&bench, "b").await;
    let led: Vec<(u8, &str)> = roll.led.iter().map(|(shard, who)| (shard.number(), who.as_str())).collect();
    assert_eq!(led, [(3, "a"), (9, "nobody-on-the-roll")]);
    store.release(&[fence]).await.expect("released");
    assert_eq!(attend(&bench, "b").await.led.len(), 1);
    bench.silence(one, SignedDuration::from_secs(5)).await;
    assert!(attend(&bench, "b").await.led.is_empty(), "whoever takes over may have it");
}

pub async fn whoever_departs_gives_up_what_it_led(bench: Bench) {
    let store = &bench.store;
    attend(&bench, "a").await;
    let [one, other] = [3, 9].map(|n| ShardId::new(n).expect("a shard"));
    let fence = lead(store.as_ref(), one, "a").await;
    let others = lead(store.as_ref(), other, "b").await;
    store.depart("a").await.expect("it goes");
    let late = store.renew(&[fence]).await;
    assert!(matches!(late, Err(StoreError::Deposed { .. })), "{late:?}");
    store.renew(&[others]).await.expect("it still leads");
    let roll = attend(&bench, "b").await;
    assert_eq!((names(&roll), roll.led.len()), (vec!["b"], 1));
    store.depart("a").await.expect("twice is no error");
    assert_eq!(lead(store.as_ref(), one, "b").await.epoch, fence.epoch + 2);
}

pub async fn many_that_come_at_once_see_one_order(bench: Bench) {
    let come: Vec<_> = (0..16)
        .map(|n| {
            let store = bench.store.clone();
            tokio::spawn(async move { store.attend(&format!("holder-{n}"), 16).await.expect("an answer") })
        })
        .collect();
    for one in come {
        let roll = one.await.expect("ran");
        assert!(roll.members.len() <= 16 && !roll.members.is_empty());
    }
    let order = attend(&bench, "holder-3").await;
    assert_eq!(order.members.len(), 16);
    assert_eq!(names(&attend(&bench, "holder-8").await), names(&order));
    // Each of them leads four, and no shard is in two parts.
    let parts =
        order.members.iter().map(|member| relay::conductor::share(&order, &member.holder, &[].into()));
    let all: Vec<ShardId> = parts.flatten().collect();
    let mut once = all.clone();
    once.sort();
    assert_eq!(once, every_shard().collect::<Vec<_>>());
}
