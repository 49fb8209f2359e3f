//! Runs by their names, and whose store it is.

use relay::model::{ids::RunId, run::RunRow};
use relay::store::StoreError;

use super::Bench;
use super::rows::*;

pub async fn runs_of_a_name_come_newest_first(bench: Bench) {
    let store = &bench.store;
    let fence = prepare(store.as_ref(), "data", "a").await;
    let named = |id: &str, name: &str, created| RunRow {
        name: name.into(),
        created_at: at(created),
        ..a_run(id, "data")
    };
    let rows = [
        named("b", "nightly", 10),
        named("d", "nightly", 30),
        named("a", "nightly", 30),
        named("c", "nightly", 20),
        named("e", "nightly-2", 40),
    ];
    with_runs(store.as_ref(), fence, &rows).await;
    let other = namespaces(1).remove(0);
    let fence = prepare(store.as_ref(), &other, "a").await;
    with_runs(store.as_ref(), fence, &[RunRow { name: "nightly".into(), ..a_run("f", &other) }]).await;
    let found = async |namespace: &str, name: &str, limit| -> Vec<String> {
        let ids = store.find_runs(namespace, name, limit).await.expect("read");
        ids.iter().map(ToString::to_string).collect()
    };
    assert_eq!(found("data", "nightly", 10).await, ["d", "a", "c", "b"]);
    assert_eq!(found("data", "nightly", 2).await, ["d", "a"]);
    assert_eq!(found("data", "nightly", 0).await, Vec::<String>::new());
    assert_eq!(found("data", "nightly-2", 10).await, ["e"]);
    assert_eq!(found(&other, "nightly", 10).await, ["f"]);
    for strange in ["night%", "nightly\0", ""] {
        assert_eq!(found("data", strange, 10).await, Vec::<String>::new());
        assert_eq!(found(strange, "nightly", 10).await, Vec::<String>::new());
        assert_eq!(store.head(strange, strange).await.expect("read"), None);
    }
    let row = store.run_row(&run_id("b")).await.expect("read").expect("it is there");
    assert_eq!(row, store.run(&run_id("b")).await.expect("read").expect("it is there").run);
    assert_eq!(store.run_row(&run_id("z")).await.expect("read"), None);
    let there = async |ids: &[&str]| -> Vec<String> {
        let ids: Vec<RunId> = ids.iter().copied().map(run_id).collect();
        let there = store.which_are_there(&ids).await.expect("read");
        there.iter().map(ToString::to_string).collect()
    };
    assert_eq!(there(&["z", "f", "a", "y", "a"]).await, ["a", "f"]);
    assert_eq!(there(&["z"]).await, Vec::<String>::new());
    assert_eq!(there(&[]).await, Vec::<String>::new());
}

pub async fn a_store_belongs_to_the_cluster_that_came_first(bench: Bench) {
    let store = &bench.store;
    let refusal = async |id: &str, adopt| match store.claim_cluster(id, adopt).await {
        Err(StoreError::Refused(why)) => why,
        other => panic!("{other:?} instead of a refusal"),
    };
    for id in ["", "a\nb", "\0", &"x".repeat(254)] {
        assert!(refusal(id, true).await.contains("253"));
    }
    store.claim_cluster("1f0c-one", false).await.expect("the first");
    store.claim_cluster("1f0c-one", false).await.expect("and again");
    let said = refusal("2b7d-two", false).await;
    assert!(
        said.contains("1f0c-one") && said.contains("2b7d-two") && said.contains("--adopt-cluster"),
        "{said}"
    );
    store.claim_cluster("1f0c-one", false).await.expect("it still is");
    store.claim_cluster("2b7d-two", true).await.expect("adopted");
    store.claim_cluster("2b7d-two", true).await.expect("and again");
    store.claim_cluster("2b7d-two", false).await.expect("it is the owner now");
    assert!(refusal("1f0c-one", false).await.contains("2b7d-two"));
}

pub async fn one_of_many_clusters_that_come_at_once_wins(bench: Bench) {
    let claims = (0..8).map(|n| {
        let store = bench.store.clone();
        tokio::spawn(async move { store.claim_cluster(&format!("cluster-{n}"), false).await })
    });
    let mut won = 0;
    for claim in claims.collect::<Vec<_>>() {
        match claim.await.expect("ran") {
            Ok(()) => won += 1,
            Err(StoreError::Refused(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
}

pub async fn a_store_that_is_there_answers(bench: Bench) {
    bench.store.ping().await.expect("an answer");
}
