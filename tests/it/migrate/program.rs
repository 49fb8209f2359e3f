//! `relay migrate` as people run it.

use std::process::Output;

use crate::support::{TestDb, relay};

fn migrate(arguments: &[&str], url: Option<&str>) -> Output {
    let mut command = relay();
    command.arg("migrate").args(arguments);
    if let Some(url) = url {
        command.args(["--database-url", url]);
    }
    command.output().expect("it runs")
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn failed(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status));
    assert!(output.stdout.is_empty());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const STEPS: &str = "2 statuses\n* 3 columns\n* 4 leadership\n* 5 approvals\n* 6 storage\n\
    * 7 heads\n* 8 logs\n* 9 cluster\n* 10 pause\n* 11 attempts\n* 12 queue\n* 13 operators\n* 14 days\n* 15 places\n* 16 hot\n";

#[test]
fn it_says_what_it_did() {
    let db = TestDb::new();
    let url = Some(db.url());
    let all = |verb: &str| format!("* 1 init\n* {STEPS}").replace('*', verb);
    assert_eq!(printed(&migrate(&["version"], url)), format!("version 0 of 16\n{}", all("pending")));
    let up = format!("{}the database is at version 16 of 16\n", all("applied"));
    assert_eq!(printed(&migrate(&["up"], url)), up);
    assert_eq!(printed(&migrate(&["up"], url)), "nothing to do\nthe database is at version 16 of 16\n");
    assert_eq!(printed(&migrate(&["version"], url)), "version 16 of 16\n");
    assert_eq!(printed(&migrate(&["down"], url)), "took back 16 hot\nthe database is at version 15 of 16\n");
    let down = "took back 15 places\ntook back 14 days\ntook back 13 operators\ntook back 12 queue\ntook back 11 attempts\ntook back 10 pause\ntook back 9 cluster\ntook back 8 logs\ntook back 7 heads\nthe database is at version 6 of 16\n";
    assert_eq!(printed(&migrate(&["down", "--to", "6"], url)), down);
}

#[test]
fn the_url_may_stand_in_relays_own_variable_and_in_no_other() {
    let db = TestDb::new();
    let run =
        |name: &str| relay().args(["migrate", "version"]).env(name, db.url()).output().expect("it runs");
    assert!(printed(&run("RELAY_DATABASE_URL")).starts_with("version 0 of 16"));
    assert!(failed(&run("DATABASE_URL"), 2).contains("--database-url"));
}

#[test]
fn failures_are_one_and_misuse_is_two() {
    let db = TestDb::new();
    assert!(failed(&migrate(&["sideways"], Some(db.url())), 2).contains("sideways"));
    assert!(failed(&migrate(&["down", "--to", "first"], Some(db.url())), 2).contains("first"));
    let said = failed(&migrate(&["up", "--to", "99"], Some(db.url())), 1);
    assert_eq!(said, "error: there is no version 99: versions go from 0 (empty) to 16\n");
    let nobody = "postgres://zoe:hunter2@127.0.0.1:1/none";
    let said = failed(&migrate(&["up"], Some(nobody)), 1);
    assert!(said.starts_with("error: no connection to Postgres at 127.0.0.1:1: "), "{said}");
    for url in ["mysql://zoe:hunter2@host/db", "postgres://zoe:hunter2@host:port/db", nobody] {
        let said = failed(&migrate(&["version"], Some(url)), 1);
        assert!(!said.contains("hunter2"), "{said}");
    }
}
