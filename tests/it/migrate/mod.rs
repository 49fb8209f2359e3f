//! `relay migrate` against real databases: what it makes, what it takes back, what it adopts and what it refuses.

mod base;
mod broken;
mod program;
mod rows;
mod words;

use relay::store::postgres::catalog::{self, BASE_FUNCTIONS, BASE_TABLES, Catalog};
use relay::store::postgres::migrate::{NEWEST, down, up, version};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::{TestDb, read, repository};

/// Runs SQL from a test's own text.
pub async fn sql(db: &TestDb, text: &str) -> Result<(), String> {
    let pool = db.pool().await;
    let done = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&pool).await;
    done.map(drop).map_err(|e| e.to_string())
}

/// The database as its own tools see it.
async fn base_catalog(db: &TestDb) -> Catalog {
    let mut conn = db.pool().await.acquire().await.expect("connected").detach();
    catalog::read(&mut conn, BASE_TABLES, BASE_FUNCTIONS).await.expect("read")
}

/// Every table, column, constraint, index, trigger and function of the schema, Relay's and anybody's.
async fn whole_catalog(db: &TestDb) -> Catalog {
    let mut conn: PgConnection = db.pool().await.acquire().await.expect("connected").detach();
    let names = "select coalesce(array_agg(relname::text), '{}') from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v')";
    let tables: Vec<String> = sqlx::query_scalar(names).fetch_one(&mut conn).await.expect("names");
    let names = "select coalesce(array_agg(proname::text), '{}') from pg_proc where pronamespace = 'public'::regnamespace";
    let functions: Vec<String> = sqlx::query_scalar(names).fetch_one(&mut conn).await.expect("names");
    let (tables, functions): (Vec<&str>, Vec<&str>) =
        (tables.iter().map(String::as_str).collect(), functions.iter().map(String::as_str).collect());
    catalog::read(&mut conn, &tables, &functions).await.expect("read")
}

fn lines(catalog: &Catalog) -> Vec<String> {
    catalog.iter().map(|(what, thing)| format!("{what}: {}", thing.is)).collect()
}

#[track_caller]
fn same(found: &Catalog, wanted: &Catalog) {
    assert_eq!(catalog::differences(found, wanted), Vec::<String>::new());
}

/// That the rows were checked against a constraint is not taken back: it is true of the earlier step as well.
fn validated(mut catalog: Catalog) -> Catalog {
    catalog.values_mut().for_each(|thing| thing.is = thing.is.replace(" NOT VALID", ""));
    catalog
}

#[tokio::test]
async fn migration_1_makes_exactly_the_base_schema() {
    let db = TestDb::new();
    up(db.url(), Some(1)).await.expect("migrated");
    let found = lines(&base_catalog(&db).await);
    let wanted: Vec<String> = base::BASE.lines().map(str::to_owned).collect();
    for line in &wanted {
        assert!(found.contains(line), "the base schema lacks: {line}");
    }
    for line in &found {
        assert!(wanted.contains(line), "the base schema has no: {line}");
    }
}

#[tokio::test]
async fn later_migrations_leave_the_base_schema_in_place_but_for_two_indexes() {
    let db = TestDb::new();
    up(db.url(), None).await.expect("migrated");
    let found = lines(&base_catalog(&db).await);
    // Two lists of states are longer afterwards; all else stands as it stood.
    let base = base::BASE.lines().filter(|line| !line.contains("_status_check "));
    let gone: Vec<&str> = base.filter(|line| !found.contains(&(*line).to_owned())).collect();
    let names: Vec<Option<&str>> = gone.iter().map(|line| line.split_whitespace().nth(1)).collect();
    // Migration 16: no edge of a task run touches an index.
    let dropped = ["idx_task_runs_heartbeat", "idx_task_runs_status_run"].map(Some);
    assert_eq!(names, dropped, "a later migration changed: {gone:?}");
}

#[tokio::test]
async fn each_step_back_leads_to_where_it_came_from() {
    let db = TestDb::new();
    let mut seen = vec![];
    for number in 1..=NEWEST {
        let moved = up(db.url(), Some(number)).await.expect("forward");
        assert_eq!((moved.version, moved.applied.len()), (number, 1));
        seen.push(validated(whole_catalog(&db).await));
    }
    let newest = seen.pop().expect("the newest");
    for number in (1..NEWEST).rev() {
        let moved = down(db.url(), None).await.expect("one step back");
        assert_eq!((moved.version, moved.reverted.len()), (number, 1));
        let earlier = seen.pop().expect("an earlier one");
        same(&validated(whole_catalog(&db).await), &earlier);
    }
    down(db.url(), Some(0)).await.expect("all the way");
    assert_eq!(base_catalog(&db).await, Catalog::new());
    assert_eq!(version(db.url()).await.expect("asked").number, 0);
    assert!(down(db.url(), None).await.expect("nothing to do").reverted.is_empty());
    up(db.url(), None).await.expect("and forward again");
    same(&validated(whole_catalog(&db).await), &newest);
}

#[tokio::test]
async fn a_database_made_from_the_base_file_alone_is_adopted() {
    let db = TestDb::new();
    sql(&db, &read("infra/migrations/001_init.sql")).await.expect("made by hand");
    sql(&db, "insert into workflows (id, name, definition) values ('old', 'Old', '{}')")
        .await
        .expect("a row");
    sql(&db, "insert into runs (id, workflow_id, status) values ('r', 'old', 'RUNNING')")
        .await
        .expect("a row");
    let found = version(db.url()).await.expect("asked");
    assert_eq!((found.number, found.adoptable, found.pending[0].number), (0, true, 2));
    let refused = down(db.url(), None).await.expect_err("it is not ours yet").to_string();
    assert!(refused.contains("relay migrate up"), "{refused}");
    let moved = up(db.url(), None).await.expect("adopted");
    assert!(moved.adopted && moved.version == NEWEST && moved.applied.len() as i64 == NEWEST - 1);
    // As if Relay had made it, with what was in it.
    let fresh = TestDb::new();
    up(fresh.url(), None).await.expect("migrated");
    same(&whole_catalog(&db).await, &whole_catalog(&fresh).await);
    let kept: (i64, bool) = sqlx::query_as("select count(*), bool_and(created_at = started_at) from runs")
        .fetch_one(&db.pool().await)
        .await
        .expect("counted");
    assert_eq!(kept, (1, true));
    // What was there before may go all the way back: nothing of it would be lost.
    down(db.url(), Some(1)).await.expect("back");
    assert_eq!(lines(&base_catalog(&db).await), base::BASE.lines().collect::<Vec<_>>());
}

#[tokio::test]
async fn tables_of_another_program_do_not_matter() {
    let db = TestDb::new();
    sql(&db, "create table orders (id int); create function total() returns int language sql as 'select 1'")
        .await
        .expect("another program's");
    assert_eq!(up(db.url(), None).await.expect("migrated").version, NEWEST);
}

#[tokio::test]
async fn two_at_once_are_safe() {
    let db = TestDb::new();
    let runs = [0, 1, 2].map(|_| {
        let url = db.url().to_owned();
        tokio::spawn(async move { up(&url, None).await })
    });
    let mut applied = 0;
    for run in runs {
        let moved = run.await.expect("ran").expect("migrated");
        assert_eq!(moved.version, NEWEST);
        applied += moved.applied.len() as i64;
    }
    assert_eq!(applied, NEWEST);
}

/// The list in the binary is written by hand; sqlx reads the folder as it would for anybody.
#[tokio::test]
async fn every_file_of_the_folder_is_in_the_binary() {
    let folder = sqlx::migrate::Migrator::new(repository("migrations")).await.expect("readable");
    let db = TestDb::new();
    up(db.url(), None).await.expect("migrated");
    let recorded: Vec<(i64, String, Vec<u8>)> =
        sqlx::query_as("select version, description, checksum from _sqlx_migrations order by version")
            .fetch_all(&db.pool().await)
            .await
            .expect("read");
    let forward = folder.iter().filter(|m| m.migration_type.is_up_migration());
    let wanted: Vec<_> =
        forward.map(|m| (m.version, m.description.to_string(), m.checksum.to_vec())).collect();
    assert_eq!(recorded, wanted);
    let back = folder.iter().filter(|m| m.migration_type.is_down_migration()).count();
    assert_eq!(back, wanted.len());
}
