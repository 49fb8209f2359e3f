//! How each fault is done.

use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;

use super::house::House;
use super::plan::{Fault, Step};
use super::recovery::Struck;

/// Between an end and the start after it, as a kubelet has it.
const MOMENT: Duration = Duration::from_millis(300);

/// Does it, and gives when it began.
pub fn strike(house: &mut House, step: Step) -> Struck {
    let struck = Struck { fault: step.fault, at: Timestamp::now() };
    match step.fault {
        Fault::LeaderKilled => {
            let leader = leader(house);
            house.kill_operator(leader);
        }
        Fault::WorkerKilled => house.kill_worker(),
        Fault::RedisEmptied => {
            house.runtime.block_on(house.redis.say(&["FLUSHALL"]));
        }
        Fault::PostgresRestarted => house.postgres.restart(),
        Fault::LeaderFrozen => {
            let leader = leader(house);
            house.signal_operator(leader, Signal::STOP);
            house.lasts(step.lasts);
            house.signal_operator(leader, Signal::CONT);
        }
    }
    house.lasts(MOMENT);
    struck
}

/// Who leads, once somebody does.
fn leader(house: &mut House) -> usize {
    house.until("an operator leads", |house| house.leader().is_some());
    house.leader().expect("it led a moment ago")
}
