//! Who makes the users by which workers log in, and what becomes of a pool when that changes.

use relay::operator::workers::password::Users;
use serde_json::{Value, json};

use super::{pool, rig::Rig};

/// The Secret that workers of the Deployment log in by.
fn logs_in_by(deployment: &Value) -> Value {
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("variables");
    let url = env.iter().find(|variable| variable["name"] == "RELAY_REDIS_URL").expect("the URL");
    url["valueFrom"]["secretKeyRef"]["name"].clone()
}

#[test]
fn users_that_somebody_else_makes_are_asked_for_and_the_setting_may_change_on_a_live_pool() {
    let mut rig = Rig::new("relay:1");
    rig.apply(&pool("  minReplicas: 1"));
    rig.until_asked(1);
    rig.wait("the operator lets workers in", || rig.lets_in());
    let worker = rig.worker();

    rig.stop();
    let url = rig.redis.url();
    rig.start_for("relay:1", Users::External, &url);
    let said = rig.until_says("RedisSecretMissing");
    let user = format!("relay-worker.{}.pool", rig.namespace);
    assert!(said.contains("relay-pool-redis-external") && said.contains(&user), "{said}");
    assert_eq!(logs_in_by(&rig.get("deployment", "relay-pool")), json!("relay-pool-redis"), "{said}");
    rig.give(&worker);

    rig.run(&["create", "secret", "generic", "relay-pool-redis-external", "--from-literal=url=theirs"]);
    let moved = |made: &Value| logs_in_by(made) == json!("relay-pool-redis-external");
    rig.until("deployment", "relay-pool", moved);
    let theirs =
        ["get", "secret", "relay-pool-redis-external", "-o", "go-template={{.data.url | base64decode}}"];
    assert_eq!(rig.run(&theirs), "theirs", "the operator leaves it as it is");

    rig.stop();
    rig.start("relay:1");
    rig.until("deployment", "relay-pool", |made| logs_in_by(made) == json!("relay-pool-redis"));
    rig.wait("the operator lets workers in", || rig.lets_in());
    assert_eq!(rig.run(&theirs), "theirs");
    rig.worker();
}

#[test]
fn a_pool_whose_user_redis_refuses_says_what_helps() {
    let mut rig = Rig::new("relay:1");
    rig.apply(&pool("  minReplicas: 1"));
    rig.wait("the operator lets workers in", || rig.lets_in());
    rig.stop();
    rig.runtime.block_on(rig.redis.say(&["ACL", "DELUSER", &format!("relay-worker.{}.pool", rig.namespace)]));
    let rules =
        ["ACL", "SETUSER", "operator", "on", ">word", "~relay:*", "+@all", "-@admin", "-@dangerous", "+info"];
    rig.runtime.block_on(rig.redis.say(&rules));
    let url = relay::link::worker_url(&rig.redis.url(), "operator", "word").expect("a URL");
    rig.start_for("relay:1", Users::Managed, &url);
    let said = rig.until_says("RedisUsersRefused");
    assert!(said.contains("External") && said.contains("Off") && said.contains("`acl`"), "{said}");
    rig.stop();
    // Nobody makes any: workers log in as the operator does.
    rig.start_for("relay:1", Users::Off, &url);
    rig.until_says("WorkersStarting");
    assert!(!rig.lets_in());
}
