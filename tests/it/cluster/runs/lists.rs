//! How objects are listed: as a stream, and in pages where the API server knows no such streams.

use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};

use relay::clock::Clock;
use relay::conductor::every_shard;
use relay::crd::schema::Kind;
use relay::operator::{
    api::Cluster,
    pulse::{Bounds, Pulses},
    watch::{Change, Mirror, follow},
};
use tokio_util::sync::CancellationToken;

use super::control::{Control, control};
use super::rig::{SOON, client};
use super::run_of;
use crate::cluster::kubectl::{well, with_input};

/// More than one page, of a hundred each.
const RUNS: usize = 250;

#[test]
fn a_list_comes_as_a_stream() {
    let (control, _turn) = control();
    let before = control.calls("LIST", "runs");
    sees_all_and_what_comes_later(control);
    assert_eq!(control.calls("LIST", "runs"), before);
}

#[test]
fn an_api_server_that_streams_no_lists_is_asked_for_pages() {
    let control = Control::start_with(&["--feature-gates=WatchList=false"]);
    sees_all_and_what_comes_later(&control);
    // The first one, and two that go on from it.
    assert_eq!(control.calls("LIST", "runs"), 3);
}

/// Everything that there is, then one that is created, then that it is deleted.
fn sees_all_and_what_comes_later(control: &Control) {
    let apply = |text: &str| drop(well(with_input(control.kubectl().args(["create", "-f", "-"]), text)));
    apply(&(0..RUNS).map(|n| run_of("hello", &format!("r{n:03}"), "")).collect::<String>());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = kube::config::Kubeconfig::read_from(control.kubeconfig()).expect("a kubeconfig");
    let cluster = runtime.block_on(async { Cluster::new(client(config).await) });
    let (mirror, stop) = (Arc::new(Mirror::new(Arc::new(every_shard().collect()))), CancellationToken::new());
    let (tell, told) = mpsc::channel();
    let (watched, until) = (mirror.clone(), stop.clone());
    let following = runtime.spawn(async move {
        let pulses = Pulses::new(Clock::system(), Bounds::default());
        follow((&cluster, &pulses), Kind::Run, &watched, &until, |change| drop(tell.send(change))).await;
    });
    let next = || told.recv_timeout(SOON).expect("told in time");
    let seen = |change| match change {
        Change::Seen(name, _) => name.name,
        other => panic!("{other:?}"),
    };
    let listed: BTreeSet<String> = (0..RUNS).map(|_| seen(next())).collect();
    assert_eq!(listed, (0..RUNS).map(|n| format!("r{n:03}")).collect());
    assert_eq!((next(), mirror.is_synced(), mirror.names().len()), (Change::Synced, true, RUNS));

    apply(&run_of("hello", "later", ""));
    assert_eq!(seen(next()), "later");
    well(control.kubectl().args(["delete", "run", "later"]).output().expect("kubectl starts"));
    assert!(matches!(next(), Change::Gone(name, _) if name.name == "later"));
    stop.cancel();
    runtime.block_on(following).expect("it ended");
}
