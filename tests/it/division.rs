//! How shards are divided among several leaders.

use std::collections::{BTreeMap, BTreeSet};

use relay::conductor::{every_shard, share};
use relay::model::ids::ShardId;
use relay::store::{Member, Roll};

type Parts = BTreeMap<String, BTreeSet<ShardId>>;

fn roll(leaders: u32, parts: &Parts, names: &[String]) -> Roll {
    let members = names.iter().map(|name| Member { holder: name.clone(), leaders }).collect();
    let led = parts.iter().flat_map(|(name, shards)| shards.iter().map(move |shard| (*shard, name.clone())));
    Roll { members, led: led.collect() }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("relay-{n:02}")).collect()
}

/// Each looks in its turn and takes what it may, until nobody would have it otherwise; gives how often somebody did.
fn settle(leaders: u32, parts: &mut Parts, names: &[String]) -> usize {
    let mut changes = 0;
    loop {
        let before = changes;
        for name in names {
            let now = roll(leaders, parts, names);
            let held = parts.get(name).cloned().unwrap_or_default();
            let wish = share(&now, name, &held);
            let foreign = |shard: &&ShardId| now.led.get(shard).is_some_and(|leader| leader != name);
            assert_eq!(wish.iter().filter(foreign).count(), 0, "{name} takes what another one leads");
            if wish != held {
                changes += 1;
                parts.insert(name.clone(), wish);
            }
        }
        if changes == before {
            return changes;
        }
        assert!(changes < 500, "it never comes to rest: {parts:?}");
    }
}

fn sizes(parts: &Parts) -> Vec<usize> {
    parts.values().map(BTreeSet::len).filter(|size| *size > 0).collect()
}

#[test]
fn every_shard_is_led_once_however_many_lead_and_stand_by() {
    for there in 1..=12 {
        for leaders in 1..=12 {
            let (mut parts, names) = (Parts::new(), names(there));
            settle(leaders, &mut parts, &names);
            let sizes = sizes(&parts);
            assert_eq!(sizes.iter().sum::<usize>(), 64, "{there} there, {leaders} lead: {sizes:?}");
            assert_eq!(sizes.len(), there.min(leaders as usize));
            let (least, most) = (sizes.iter().min().expect("some"), sizes.iter().max().expect("some"));
            assert!(most - least <= 1, "{there} there, {leaders} lead: {sizes:?}");
        }
    }
}

#[test]
fn whoever_comes_and_goes_moves_few_shards() {
    let (mut parts, all) = (Parts::new(), names(4));
    settle(2, &mut parts, &all[..1]);
    assert_eq!(sizes(&parts), [64]);
    settle(2, &mut parts, &all[..2]);
    let halves = parts.clone();
    assert_eq!(sizes(&parts), [32, 32]);
    // A third one stands by, and nobody notices it.
    assert_eq!(settle(2, &mut parts, &all[..3]), 0);
    // It takes over what nobody leads any longer, and nobody else does.
    parts.remove(&all[0]);
    assert_eq!(settle(2, &mut parts, &all[1..3]), 1);
    assert_eq!((&parts[&all[1]], &parts[&all[2]]), (&halves[&all[1]], &halves[&all[0]]));
    // Whoever comes back stands by.
    assert_eq!(settle(2, &mut parts, &[all[1].clone(), all[2].clone(), all[3].clone()]), 0);
}

#[test]
fn a_shard_more_or_less_is_no_reason_to_give_one_up() {
    let (mut parts, all) = (Parts::new(), names(4));
    settle(3, &mut parts, &all[..3]);
    assert_eq!(sizes(&parts), [22, 21, 21]);
    // The next one takes most of what the first leaves, and another one the rest: nobody gives anything up.
    let before = parts.clone();
    parts.remove(&all[0]);
    settle(3, &mut parts, &all[1..]);
    assert_eq!(sizes(&parts).iter().sum::<usize>(), 64);
    for name in &all[1..3] {
        assert!(parts[name].is_superset(&before[name]), "{name} gave some up");
    }
}

#[test]
fn until_all_are_told_the_same_the_fewest_leaders_count() {
    let all = names(3);
    let mut now = roll(3, &Parts::new(), &all);
    now.members[2].leaders = 2;
    let sizes: Vec<usize> = all.iter().map(|name| share(&now, name, &BTreeSet::new()).len()).collect();
    assert_eq!(sizes, [32, 32, 0]);
}

#[test]
fn whoever_is_not_on_the_roll_keeps_what_it_has() {
    let held: BTreeSet<ShardId> = every_shard().take(10).collect();
    let now = roll(2, &Parts::new(), &names(2));
    assert_eq!(share(&now, "somebody", &held), held);
    assert_eq!(share(&Roll::default(), "somebody", &held), held);
}

#[test]
fn two_that_come_at_once_want_different_shards() {
    let all = names(2);
    let now = roll(2, &Parts::new(), &all);
    let [one, two] = [&all[0], &all[1]].map(|name| share(&now, name, &BTreeSet::new()));
    assert_eq!((one.len(), two.len(), one.intersection(&two).count()), (32, 32, 0));
}
