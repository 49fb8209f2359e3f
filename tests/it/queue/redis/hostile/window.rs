//! How many jobs of a pool are in the queue at a time.

use super::{House, POOL, until};

const WIDE: &str = "
apiVersion: relay.works/v1alpha1
kind: Workflow
metadata: {name: one, namespace: data}
spec:
  pool: default
  params: [{name: list, type: array}]
  tasks: [{name: only, forEach: {from: params.list, as: n}, command: ['true']}]
";

#[tokio::test]
async fn a_pool_of_many_slots_has_more_jobs_in_the_queue_and_no_other_has() {
    let house = House::new().await;
    let pending = async || {
        let count = house.server.say(&["ZCARD", &format!("relay:{{{POOL}}}:queue:pending_jobs")]).await;
        redis::from_redis_value::<usize>(count).expect("a number")
    };
    // Whoever knows the pool's workers has told of another pool, and then of this one.
    house.outlook.keep_slots("data/other", 10_000);
    let life = house.conduct().await;
    let list: Vec<u32> = (0..2_600).collect();
    house.submit_flow(&life, WIDE, serde_json::json!({ "list": list })).await;
    let born = async || {
        let record = relay::store::Store::run(house.store.as_ref(), &"run-1".parse().expect("an id")).await;
        record.expect("a store").expect("a run").tasks.len()
    };
    until("all items are born", async || (born().await > 2_600).then_some(())).await;
    until("the usual window is full", async || (pending().await == 1_000).then_some(())).await;
    house.outlook.keep_slots(POOL, 500);
    until("four jobs for each slot", async || (pending().await == 2_000).then_some(())).await;
    life.end().await;
    assert_eq!(pending().await, 2_000);
}
