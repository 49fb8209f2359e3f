//! How each fault is done.

use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;

use super::house::House;
use super::plan::{Fault, Step};
use super::recovery::Struck;
use super::side;

/// Between an end and the start after it, as a kubelet has it.
const MOMENT: Duration = Duration::from_millis(300);

/// A worker counts as lost after 30 s of silence.
const LOST: Duration = Duration::from_secs(40);

/// Does it, and gives when it began.
pub fn strike(house: &mut House, step: Step) -> Struck {
    let struck = Struck { fault: step.fault, at: Timestamp::now() };
    match step.fault {
        Fault::LeaderKilled | Fault::OperatorsKilled => operators_killed(house, step.fault),
        Fault::LeaderFrozen => {
            let leader = leader(house);
            house.signal_operator(leader, Signal::STOP);
            house.lasts(step.lasts);
            house.signal_operator(leader, Signal::CONT);
        }
        Fault::WorkerKilled => house.kill_worker(),
        Fault::WorkerDrained => house.drain_worker(),
        Fault::WorkerFrozen => {
            let worker = house.signal_worker(None, Signal::STOP);
            house.lasts(LOST);
            house.signal_worker(Some(worker), Signal::CONT);
        }
        Fault::RedisEmptied => drop(house.runtime.block_on(house.redis.say(&["FLUSHALL"]))),
        Fault::RedisRestarted => {
            house.redis.kill();
            house.lasts(MOMENT);
            house.runtime.block_on(house.redis.start_again());
        }
        Fault::RedisFull => redis_full(house, step.lasts),
        Fault::RedisFrozen => {
            house.redis.freeze();
            house.lasts(step.lasts);
            house.redis.thaw();
        }
        Fault::PostgresRestarted => house.runtime.block_on(house.postgres.restart()),
        Fault::BackendsEnded => {
            let all = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                where backend_type = 'client backend' and pid <> pg_backend_pid()";
            house.ask(all).expect("Postgres is well");
        }
        Fault::ApiServerFrozen => {
            house.control.signal_server(Signal::STOP);
            house.lasts(step.lasts);
            house.control.signal_server(Signal::CONT);
        }
        Fault::ApiServerKilled => {
            house.control.kill_server();
            house.lasts(step.lasts / 4);
            house.control.start_server();
        }
        Fault::NamespaceDeleted => side::deleted_in_mid_run(house),
        Fault::MuchKilled => {
            house.redis.kill();
            operators_killed(house, Fault::OperatorsKilled);
            house.kill_worker();
            house.runtime.block_on(house.redis.start_again());
        }
    }
    house.lasts(MOMENT);
    struck
}

fn operators_killed(house: &mut House, fault: Fault) {
    if fault == Fault::LeaderKilled {
        let leader = leader(house);
        return house.kill_operator(leader);
    }
    house.kill_operators();
}

/// No more memory than there is now.
fn redis_full(house: &mut House, lasts: Duration) {
    house.runtime.block_on(house.redis.say(&["CONFIG", "SET", "maxmemory", "1mb"]));
    house.lasts(lasts);
    house.runtime.block_on(house.redis.say(&["CONFIG", "SET", "maxmemory", "0"]));
}

/// Who leads, once somebody does.
fn leader(house: &mut House) -> usize {
    house.until("an operator leads", |house| house.leader().is_some());
    house.leader().expect("it led a moment ago")
}
