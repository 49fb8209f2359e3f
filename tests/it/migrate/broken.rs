//! Databases that are not what they should be: refused, with what is wrong, and left alone.

use relay::store::StoreError;
use relay::store::postgres::migrate::{MigrateError, NEWEST, down, up, version};
use relay::store::postgres::{PoolSettings, PostgresStore};

use super::{lines, sql, whole_catalog};
use crate::support::{TestDb, read};

async fn made_by_hand(then: &str) -> TestDb {
    let db = TestDb::new();
    sql(&db, &read("migrations/0001_init.up.sql")).await.expect("made by hand");
    sql(&db, then).await.expect("altered");
    db
}

#[tokio::test]
async fn a_half_made_or_altered_base_schema_is_refused_with_each_difference() {
    let cases = [
        ("drop index idx_runs_status", vec!["index idx_runs_status on runs is missing"]),
        ("drop table artifacts", vec!["table artifacts is missing"]),
        (
            "drop trigger workflows_updated_at on workflows",
            vec!["trigger workflows_updated_at on workflows is missing"],
        ),
        ("comment on table runs is null", vec!["comment on table runs is missing"]),
        ("alter table tasks add extra int", vec!["column tasks.extra is not part of it (`integer`)"]),
        (
            "alter table tasks alter name drop not null, alter requires_approval drop default",
            vec![
                "column tasks.name is `text`, and should be `text not null`",
                "column tasks.requires_approval is `boolean not null`, and should be `boolean not null default false`",
            ],
        ),
        (
            "alter table artifacts drop constraint artifacts_task_run_id_fkey,
                add constraint artifacts_task_run_id_fkey foreign key (task_run_id) references task_runs(id)",
            vec![
                "constraint artifacts_task_run_id_fkey on artifacts is \
                    `FOREIGN KEY (task_run_id) REFERENCES task_runs(id)`, and should be \
                    `FOREIGN KEY (task_run_id) REFERENCES task_runs(id) ON DELETE CASCADE`",
            ],
        ),
        (
            "create or replace function update_updated_at_column() returns trigger language plpgsql as 'begin return new; end'",
            vec![
                "function update_updated_at_column() is `returns trigger, plpgsql: begin return new; end`, and should be \
                    `returns trigger, plpgsql: BEGIN NEW.updated_at = NOW(); RETURN NEW; END;`",
            ],
        ),
    ];
    for (then, wanted) in cases {
        let db = made_by_hand(then).await;
        let before = lines(&whole_catalog(&db).await);
        match up(db.url(), None).await {
            Err(MigrateError::Altered(found)) => assert_eq!(found, wanted, "after {then}"),
            other => panic!("{other:?} after {then}"),
        }
        assert!(matches!(version(db.url()).await, Err(MigrateError::Altered(_))));
        assert!(matches!(down(db.url(), None).await, Err(MigrateError::Altered(_))));
        assert_eq!(lines(&whole_catalog(&db).await), before, "it was changed after {then}");
    }
}

#[tokio::test]
async fn a_table_of_the_same_name_is_not_taken_for_ours() {
    let db = TestDb::new();
    sql(&db, "create table tasks (id int primary key, done boolean)").await.expect("another program's");
    let said = up(db.url(), None).await.expect_err("refused").to_string();
    assert!(
        said.contains("nothing was changed") && said.contains("\n  - table workflows is missing"),
        "{said}"
    );
    assert!(said.contains("\n  - column tasks.done is not part of it (`boolean`)"), "{said}");
}

#[tokio::test]
async fn a_step_that_was_begun_and_not_finished_is_named() {
    let db = TestDb::new();
    up(db.url(), Some(3)).await.expect("migrated");
    sql(&db, "update _sqlx_migrations set success = false where version = 3").await.expect("half applied");
    assert!(matches!(up(db.url(), None).await, Err(MigrateError::HalfApplied(3))));
    assert!(matches!(down(db.url(), None).await, Err(MigrateError::HalfApplied(3))));
    let said = version(db.url()).await.expect_err("dirty").to_string();
    assert!(said.contains("migration 3 was begun and not finished"), "{said}");
}

#[tokio::test]
async fn a_record_that_does_not_fit_this_binary_is_refused() {
    let db = TestDb::new();
    up(db.url(), None).await.expect("migrated");
    let row = |number: i64| {
        format!(
            "insert into _sqlx_migrations select {number}, 'later', now(), true, checksum, 1 from _sqlx_migrations where version = 1"
        )
    };
    sql(&db, &row(NEWEST + 1)).await.expect("a newer relay was here");
    let newer = up(db.url(), None).await.expect_err("refused");
    assert!(matches!(newer, MigrateError::Newer { found } if found == NEWEST + 1), "{newer}");
    // Later steps only add: an older binary goes on working while a newer one is rolled out.
    PostgresStore::connect(&PoolSettings::new(db.url())).await.expect("connected").close().await;
    sql(&db, &format!("delete from _sqlx_migrations where version in (2, {})", NEWEST + 1))
        .await
        .expect("a hole");
    assert!(matches!(up(db.url(), None).await, Err(MigrateError::Gap(2))));
    sql(&db, "update _sqlx_migrations set checksum = 'x' where version = 1").await.expect("another text");
    let changed = up(db.url(), None).await.expect_err("refused");
    assert!(matches!(changed, MigrateError::Changed(1)), "{changed}");
}

#[tokio::test]
async fn a_step_that_fails_leaves_everything_as_it_was() {
    let db = made_by_hand("create table shards (id int)").await;
    let failed = up(db.url(), None).await.expect_err("a table is in the way");
    assert!(matches!(failed, MigrateError::Failed { number: 4, .. }), "{failed}");
    let found = version(db.url()).await.expect("asked");
    assert_eq!((found.number, found.pending[0].number), (3, 4));
    sql(&db, "drop table shards").await.expect("out of the way");
    assert_eq!(up(db.url(), None).await.expect("migrated").version, NEWEST);
}

#[tokio::test]
async fn a_role_without_rights_is_told_so() {
    let db = TestDb::new();
    let role = db.url().rsplit_once('/').expect("a database").1.to_owned();
    sql(&db, &format!("create role {role} login password 'p'")).await.expect("a role");
    let (server, rest) = db.url().split_once('@').expect("a user in the URL");
    assert!(server.starts_with("postgres://"));
    let said = up(&format!("postgres://{role}:p@{rest}"), None).await.expect_err("refused").to_string();
    sql(&db, &format!("drop role {role}")).await.expect("gone");
    assert!(said.starts_with("not permitted: permission denied for schema public"), "{said}");
}

#[tokio::test]
async fn a_store_refuses_a_database_that_is_not_migrated() {
    let db = TestDb::new();
    for (to, at) in [(0, 0), (2, 2)] {
        up(db.url(), Some(to)).await.expect("migrated");
        match PostgresStore::connect(&PoolSettings::new(db.url())).await {
            Err(StoreError::Refused(why)) => {
                assert!(
                    why.contains(&format!("at version {at}")) && why.contains("relay migrate up"),
                    "{why}"
                );
            }
            other => panic!("{:?}", other.map(|_| "a store")),
        }
    }
}
