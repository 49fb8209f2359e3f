//! One leader a shard, proven at each commit.

use jiff::SignedDuration;
use relay::model::change::Fence;
use relay::model::ids::ShardId;
use relay::model::status::RunStatus;
use relay::store::{Leadership, StoreError};

use super::Bench;
use super::rows::*;

fn is_deposed(outcome: &Result<(), StoreError>, fence: &Fence) -> bool {
    matches!(outcome, Err(StoreError::Deposed { shard, epoch }) if (*shard, *epoch) == (fence.shard, fence.epoch))
}

pub async fn a_deposed_leader_writes_nothing(bench: Bench) {
    let store = &bench.store;
    let old = prepare(store.as_ref(), "data", "old").await;
    let run = a_run("r", "data");
    let old = with_runs(store.as_ref(), old, std::slice::from_ref(&run)).await;
    bench.silence(old.shard, SignedDuration::from_secs(5)).await;
    let new = lead(store.as_ref(), old.shard, "new").await;
    assert_eq!((new.epoch, new.seq), (old.epoch + 1, old.seq));
    let finish = || changes("data", Some(run_move(&run, RunStatus::Success)), vec![]);
    let stale = [
        // The position is right, the epoch is over.
        old,
        // The epoch is right, the position is another one: behind, and ahead.
        Fence { seq: new.seq - 1, ..new },
        Fence { seq: new.seq + 1, ..new },
        // An epoch that never was.
        Fence { epoch: new.epoch + 1, ..new },
        Fence { shard: ShardId::of_namespace("data"), epoch: 0, seq: 0 },
    ];
    for fence in stale {
        let outcome = store.commit(&batch(fence, vec![("r", finish())])).await;
        assert!(is_deposed(&outcome, &fence), "{fence:?}: {outcome:?}");
        // Also a batch that would change nothing.
        let outcome = store.commit(&batch(fence, vec![])).await;
        assert!(is_deposed(&outcome, &fence), "{fence:?}: {outcome:?}");
    }
    assert!(is_deposed(&store.renew(&[old]).await, &old));
    store.release(&[old]).await.expect("giving up what is lost is no error");
    assert_eq!(store.position(new.shard).await.expect("read"), new);
    assert_eq!(store.run(&run.id).await.expect("read").expect("there").run, run);
    store.commit(&batch(new, vec![("r", finish())])).await.expect("the new leader writes");
}

pub async fn a_batch_with_one_lost_shard_writes_none(bench: Bench) {
    let store = &bench.store;
    let names = namespaces(3);
    let mut whole = relay::model::change::Batch::default();
    for (n, namespace) in names.iter().enumerate() {
        let fence = prepare(store.as_ref(), namespace, "old").await;
        let id = format!("run-{n}");
        whole.fences.insert(fence.shard, fence);
        whole.runs.insert(run_id(&id), changes(namespace, Some(run_birth(a_run(&id, namespace))), vec![]));
    }
    let lost = ShardId::of_namespace(&names[1]);
    bench.silence(lost, SignedDuration::from_secs(4)).await;
    lead(store.as_ref(), lost, "new").await;
    let outcome = store.commit(&whole).await;
    assert!(is_deposed(&outcome, &whole.fences[&lost]), "{outcome:?}");
    for id in whole.runs.keys() {
        assert_eq!(store.run(id).await.expect("read"), None);
    }
    // Without the lost shard the rest goes through.
    whole.fences.remove(&lost);
    whole.runs.retain(|_, changes| changes.shard != lost);
    store.commit(&whole).await.expect("committed");
}

pub async fn one_of_two_that_race_wins(bench: Bench) {
    for shard in (0..20).filter_map(ShardId::new) {
        let tries = ["left", "right"].map(|holder| {
            let store = bench.store.clone();
            tokio::spawn(async move { (holder, store.lead(&[shard], holder).await.expect("an answer")) })
        });
        let mut won = vec![];
        let mut told = vec![];
        for one in tries {
            match one.await.expect("ran") {
                (holder, Leadership::Won(fences)) => won.push((holder, fences[&shard].epoch)),
                (_, Leadership::Held { holder, renewed_ms_ago, .. }) => {
                    assert!(renewed_ms_ago < 4_000);
                    told.push(holder);
                }
            }
        }
        assert_eq!((won.len(), told.len()), (1, 1), "{won:?} {told:?}");
        assert_eq!((won[0].0, won[0].1), (told[0].as_str(), 1));
    }
}

pub async fn silence_of_four_seconds_costs_the_shard(bench: Bench) {
    let store = &bench.store;
    let shard = ShardId::of_namespace("data");
    let old = lead(store.as_ref(), shard, "old").await;
    bench.silence(shard, SignedDuration::from_secs(2)).await;
    match store.lead(&[shard], "new").await.expect("an answer") {
        Leadership::Held { holder, renewed_ms_ago, .. } => {
            assert_eq!(holder, "old");
            assert!((2_000..4_000).contains(&renewed_ms_ago), "{renewed_ms_ago}");
        }
        won => panic!("{won:?}"),
    }
    // It speaks again, and the four seconds begin anew.
    store.renew(&[old]).await.expect("still the leader");
    bench.silence(shard, SignedDuration::from_secs(2)).await;
    assert!(matches!(store.lead(&[shard], "new").await, Ok(Leadership::Held { .. })));
    bench.silence(shard, SignedDuration::from_secs(2)).await;
    assert_eq!(lead(store.as_ref(), shard, "new").await.epoch, old.epoch + 1);
    assert!(is_deposed(&store.renew(&[old]).await, &old));
}

pub async fn a_clock_that_was_put_back_keeps_nobody_from_leading(bench: Bench) {
    let store = &bench.store;
    let shard = ShardId::of_namespace("data");
    let old = lead(store.as_ref(), shard, "old").await;
    bench.silence(shard, SignedDuration::from_hours(-1)).await;
    assert!(matches!(store.lead(&[shard], "new").await, Ok(Leadership::Held { .. })), "it may be alive");
    bench.silence(shard, SignedDuration::from_secs(2)).await;
    assert!(matches!(store.lead(&[shard], "new").await, Ok(Leadership::Held { .. })));
    bench.silence(shard, SignedDuration::from_secs(2)).await;
    assert_eq!(lead(store.as_ref(), shard, "new").await.epoch, old.epoch + 1);
    assert!(is_deposed(&store.renew(&[old]).await, &old));
}

pub async fn the_same_holder_begins_a_new_epoch(bench: Bench) {
    let store = &bench.store;
    let first = prepare(store.as_ref(), "data", "a").await;
    let second = lead(store.as_ref(), first.shard, "a").await;
    assert_eq!(second, Fence { epoch: first.epoch + 1, ..first });
    let birth = || changes("data", Some(run_birth(a_run("r", "data"))), vec![]);
    let late = store.commit(&batch(first, vec![("r", birth())])).await;
    assert!(is_deposed(&late, &first), "{late:?}");
    store.commit(&batch(second, vec![("r", birth())])).await.expect("committed");
}

pub async fn a_released_shard_is_free_and_its_epoch_over(bench: Bench) {
    let store = &bench.store;
    let old = prepare(store.as_ref(), "data", "old").await;
    let old = with_runs(store.as_ref(), old, &[a_run("r", "data")]).await;
    store.release(&[old]).await.expect("released");
    store.release(&[old]).await.expect("twice is no error");
    assert!(is_deposed(&store.renew(&[old]).await, &old));
    let late = store.commit(&batch(old, vec![("r", changes("data", None, vec![task_birth(2)]))])).await;
    assert!(is_deposed(&late, &old), "{late:?}");
    let new = lead(store.as_ref(), old.shard, "new").await;
    assert!(new.epoch > old.epoch && new.seq == old.seq);
}

pub async fn one_of_many_commits_after_the_same_row_lands(bench: Bench) {
    let fence = prepare(bench.store.as_ref(), "data", "a").await;
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let store = bench.store.clone();
            tokio::spawn(async move {
                let id = format!("run-{n}");
                let birth = changes("data", Some(run_birth(a_run(&id, "data"))), vec![task_birth(0)]);
                store.commit(&batch(fence, vec![(&id, birth)])).await
            })
        })
        .collect();
    let mut landed = 0;
    for one in tries {
        match one.await.expect("ran") {
            Ok(()) => landed += 1,
            outcome => assert!(is_deposed(&outcome, &fence), "{outcome:?}"),
        }
    }
    assert_eq!(landed, 1);
    assert_eq!(bench.store.live_runs(fence.shard).await.expect("read").len(), 1);
    assert_eq!(bench.store.position(fence.shard).await.expect("read").seq, 1);
}

fn every_shard() -> Vec<ShardId> {
    (0..ShardId::COUNT).filter_map(ShardId::new).collect()
}

pub async fn shards_are_taken_all_or_none(bench: Bench) {
    let store = &bench.store;
    let all = every_shard();
    let Leadership::Won(fences) = store.lead(&all, "a").await.expect("an answer") else {
        panic!("all are free")
    };
    assert_eq!(fences.keys().copied().collect::<Vec<_>>(), all);
    assert!(fences.iter().all(|(shard, fence)| (fence.shard, fence.epoch, fence.seq) == (*shard, 1, 0)));
    store.release(&[fences[&all[3]], fences[&all[9]]]).await.expect("released");
    let other = lead(store.as_ref(), all[9], "b").await;
    // One is free, one is led by another: whoever wants both gets none.
    let given = [all[9], all[3], all[3]];
    match store.lead(&given, "c").await.expect("an answer") {
        Leadership::Held { shard, holder, .. } => assert_eq!((shard, holder.as_str()), (all[9], "b")),
        won => panic!("{won:?}"),
    }
    assert_eq!(store.position(all[9]).await.expect("read"), other);
    let free = store.position(all[3]).await.expect("read");
    // What is one's own may stand among them, and twice; the next epochs begin for all.
    let Leadership::Won(both) = store.lead(&given, "b").await.expect("an answer") else {
        panic!("both are free")
    };
    assert_eq!(both.len(), 2);
    assert_eq!((both[&all[3]].epoch, both[&all[9]].epoch), (free.epoch + 1, other.epoch + 1));
    assert_eq!(store.lead(&[], "c").await.expect("an answer"), Leadership::Won([].into()));
}

pub async fn all_shards_are_renewed_at_once_and_the_lost_one_is_named(bench: Bench) {
    let store = &bench.store;
    let all = every_shard();
    let Leadership::Won(fences) = store.lead(&all, "a").await.expect("an answer") else {
        panic!("all are free")
    };
    let fences: Vec<Fence> = fences.into_values().collect();
    let age = SignedDuration::from_secs(3);
    for shard in [all[0], all[63]] {
        bench.silence(shard, age).await;
    }
    store.renew(&fences).await.expect("still the leader");
    for shard in [all[0], all[63]] {
        match store.lead(&[shard], "b").await.expect("an answer") {
            Leadership::Held { renewed_ms_ago, .. } => assert!(renewed_ms_ago < 3_000, "{renewed_ms_ago}"),
            won => panic!("{won:?}"),
        }
    }
    for lost in [40, 20] {
        bench.silence(all[lost], SignedDuration::from_secs(5)).await;
        lead(store.as_ref(), all[lost], "b").await;
    }
    bench.silence(all[63], age).await;
    assert!(is_deposed(&store.renew(&fences).await, &fences[20]));
    // The others are led on.
    match store.lead(&[all[63]], "b").await.expect("an answer") {
        Leadership::Held { holder, renewed_ms_ago, .. } => {
            assert!(holder == "a" && renewed_ms_ago < 3_000, "{holder} {renewed_ms_ago}");
        }
        won => panic!("{won:?}"),
    }
    store.renew(&[]).await.expect("nothing to do");
}

pub async fn two_that_race_for_many_shards_never_share_them(bench: Bench) {
    for round in 0..10 {
        let tries = ["left", "right"].map(|holder| {
            let store = bench.store.clone();
            let mut shards = every_shard();
            if holder == "right" {
                shards.reverse();
            }
            tokio::spawn(async move { store.lead(&shards, holder).await.expect("an answer") })
        });
        let mut won = Vec::new();
        for one in tries {
            if let Leadership::Won(fences) = one.await.expect("ran") {
                won.push(fences);
            }
        }
        assert_eq!(won.len(), 1, "round {round}");
        let fences: Vec<Fence> = won[0].values().copied().collect();
        assert_eq!(fences.len(), 64);
        bench.store.renew(&fences).await.expect("it leads them all");
        bench.store.release(&fences).await.expect("released");
    }
}

pub async fn a_position_is_raised_by_its_leader_alone_and_never_falls(bench: Bench) {
    let store = &bench.store;
    let old = prepare(store.as_ref(), "data", "old").await;
    let raised = store.raise(&old, old.seq + 1_000).await.expect("raised");
    assert_eq!(raised, Fence { seq: old.seq + 1_000, ..old });
    assert_eq!(store.raise(&old, old.seq + 1_000).await.expect("said again"), raised);
    assert_eq!(store.raise(&old, 1).await.expect("it is beyond"), raised);
    let run = a_run("r", "data");
    let written = with_runs(store.as_ref(), raised, std::slice::from_ref(&run)).await;
    let told = store.transitions(old.shard, old.seq, 10).await.expect("read");
    assert_eq!(told.iter().map(|row| row.seq).collect::<Vec<_>>(), [raised.seq + 1]);
    bench.silence(old.shard, SignedDuration::from_secs(5)).await;
    let new = lead(store.as_ref(), old.shard, "new").await;
    assert_eq!(new.seq, written.seq);
    let late = store.raise(&written, new.seq + 1).await;
    assert!(matches!(late, Err(StoreError::Deposed { epoch, .. }) if epoch == old.epoch), "{late:?}");
    assert_eq!(store.position(new.shard).await.expect("read"), new);
}
