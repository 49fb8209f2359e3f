//! What a database really holds, listed so that two can be compared, in words.

use std::collections::BTreeMap;

use sqlx::PgConnection;

/// Tables, columns, constraints, indexes, triggers, comments and functions: each by what it is, with its definition.
pub type Catalog = BTreeMap<String, Thing>;

/// One object of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    /// The table it belongs to; empty for a function.
    pub table: String,
    /// How it is defined.
    pub is: String,
}

/// The tables of the base schema.
pub const BASE_TABLES: &[&str] = &["workflows", "runs", "tasks", "dependencies", "task_runs", "artifacts"];

/// The functions of the base schema.
pub const BASE_FUNCTIONS: &[&str] = &["update_updated_at_column"];

const CATALOG: &str = include_str!("catalog.sql");

/// What the current schema holds under these names.
pub async fn read(
    conn: &mut PgConnection,
    tables: &[&str],
    functions: &[&str],
) -> Result<Catalog, sqlx::Error> {
    let work = sqlx::query_as::<_, (String, String, String)>(CATALOG).bind(tables).bind(functions);
    let things = work.fetch_all(conn).await?;
    Ok(things.into_iter().map(|(table, what, is)| (what, Thing { table, is })).collect())
}

/// How `found` differs from `wanted`, a sentence for each difference.
pub fn differences(found: &Catalog, wanted: &Catalog) -> Vec<String> {
    let mut out = Vec::new();
    // Of a table that is missing, or that is all too many, one sentence says enough.
    let has =
        |catalog: &Catalog, table: &str| table.is_empty() || catalog.contains_key(&format!("table {table}"));
    for (what, thing) in wanted {
        let table = what.starts_with("table ");
        match found.get(what) {
            Some(other) if other.is == thing.is => {}
            Some(other) => out.push(format!("{what} is `{}`, and should be `{}`", other.is, thing.is)),
            None if table || has(found, &thing.table) => out.push(format!("{what} is missing")),
            None => {}
        }
    }
    for (what, thing) in found {
        let table = what.starts_with("table ");
        if !wanted.contains_key(what) && (table || has(wanted, &thing.table)) {
            out.push(format!("{what} is not part of it (`{}`)", thing.is));
        }
    }
    out
}
