//! How each fault is done, and undone.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::house::House;
use super::plan::{Fault, Step};
use super::recovery::Struck;
use super::side;

/// Between an end and the start after it, as a kubelet has it.
const MOMENT: Duration = Duration::from_millis(300);

/// So far clocks jump, in seconds.
const AHEAD: i64 = 45 * 60;
/// Less than the age that a new certificate of the API server has.
const BEHIND: i64 = -40 * 60;

/// What undoes a fault that lasts.
type Heal = Box<dyn FnOnce(&mut House)>;

/// Does it and what happens in its midst, undoes both, and tells of each.
pub fn strike(house: &mut House, step: Step) -> Vec<Struck> {
    let struck = Struck::now(house, step.fault);
    let (mut first, heal) = begin(house, struck);
    let mut all = Vec::new();
    if let Some((fault, lasts)) = step.with {
        house.lasts(step.lasts / 2);
        let struck = first.meanwhile(fault);
        let (mut second, heal) = begin(house, struck);
        if let Some(heal) = heal {
            house.lasts(lasts);
            heal(house);
            second.healed = Instant::now();
        }
        all.push(second);
    }
    if let Some(heal) = heal {
        house.lasts(step.lasts.saturating_sub(first.begun.elapsed()));
        heal(house);
        first.healed = Instant::now();
    }
    all.insert(0, first);
    house.lasts(MOMENT);
    all
}

/// Does it. What is over at once has nothing that undoes it.
fn begin(house: &mut House, mut struck: Struck) -> (Struck, Option<Heal>) {
    if struck.fault.lasts() {
        let heal = begin_one_that_lasts(house, struck.fault);
        return (struck, Some(heal));
    }
    at_once(house, struck.fault);
    struck.healed = Instant::now();
    (struck, None)
}

fn at_once(house: &mut House, fault: Fault) {
    match fault {
        Fault::LeaderKilled => {
            let leader = leader(house);
            house.kill_operator(leader);
        }
        Fault::OperatorsKilled => house.kill_operators(),
        Fault::WorkerKilled => house.kill_worker(),
        Fault::WorkerDrained => house.drain_worker(),
        Fault::RedisEmptied => drop(house.say(&["FLUSHALL"])),
        Fault::RedisRestarted => {
            house.redis.kill();
            house.lasts(MOMENT);
            house.runtime.block_on(house.redis.start_again());
        }
        Fault::PostgresRestarted => house.runtime.block_on(house.postgres.restart()),
        Fault::BackendsEnded => house.end_sessions(),
        Fault::NamespaceDeleted => side::deleted_in_mid_run(house),
        Fault::MuchKilled => {
            house.redis.kill();
            house.kill_operators();
            house.kill_worker();
            house.runtime.block_on(house.redis.start_again());
        }
        lasting => unreachable!("{lasting:?} lasts"),
    }
}

fn begin_one_that_lasts(house: &mut House, fault: Fault) -> Heal {
    match fault {
        Fault::LeaderFrozen => {
            let leader = leader(house);
            house.signal_operator(leader, Signal::STOP);
            Box::new(move |house| house.signal_operator(leader, Signal::CONT))
        }
        Fault::WorkerFrozen => {
            let worker = house.signal_worker(None, Signal::STOP);
            Box::new(move |house| drop(house.signal_worker(Some(worker), Signal::CONT)))
        }
        Fault::NetworkCut => {
            let worker = house.cut_worker();
            Box::new(move |house| house.join_worker(&worker))
        }
        Fault::ClocksAhead | Fault::ClocksBehind => clocks(house, fault),
        Fault::RedisFull => {
            // No more than there is now.
            house.say(&["CONFIG", "SET", "maxmemory", "1mb"]);
            Box::new(|house| drop(house.say(&["CONFIG", "SET", "maxmemory", "0"])))
        }
        Fault::RedisFrozen => {
            house.redis.freeze();
            Box::new(|house| house.redis.thaw())
        }
        Fault::PoolFull => {
            let taken = house.take_connections();
            Box::new(move |_| drop(taken))
        }
        Fault::ApiServerFrozen => {
            house.control.signal_server(Signal::STOP);
            Box::new(|house| house.control.signal_server(Signal::CONT))
        }
        Fault::ApiServerKilled => {
            house.control.kill_server();
            Box::new(|house| house.control.start_server())
        }
        at_once => unreachable!("{at_once:?} is over at once"),
    }
}

/// Those of the leader and of a worker; the others' stay right.
fn clocks(house: &mut House, fault: Fault) -> Heal {
    let leader = leader(house);
    let ahead = fault == Fault::ClocksAhead;
    let (operator, worker) = house.shift_clocks(leader, if ahead { AHEAD } else { BEHIND });
    if ahead {
        let told = "select count(*) from (select 1 from state_history \
            where changed_at > now() + interval '30 minutes' limit 1) h";
        house.until("rows tell a time to come", |house| house.number(told).is_some_and(|rows| rows > 0));
    }
    Box::new(move |house| house.right_clocks(&[operator, worker]))
}

/// Who leads, once somebody does.
fn leader(house: &mut House) -> usize {
    house.until("an operator leads", |house| house.leader().is_some());
    house.leader().expect("it led a moment ago")
}
