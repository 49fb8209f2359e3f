//! The files of migrations/, within this binary.

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType},
};

/// One step: how to take it and how to take it back.
pub(super) struct Step {
    /// Its number; the first is 1, without gaps.
    pub number: i64,
    /// What it is called.
    pub name: &'static str,
    up: &'static str,
    down: &'static str,
}

macro_rules! step {
    ($number:literal, $file:literal, $name:literal) => {
        Step {
            number: $number,
            name: $name,
            up: include_str!(concat!("../../../migrations/", $file, "_", $name, ".up.sql")),
            down: include_str!(concat!("../../../migrations/", $file, "_", $name, ".down.sql")),
        }
    };
}

/// All of them, in order. A test compares this list with the folder.
pub(super) const STEPS: &[Step] = &[
    step!(1, "0001", "init"),
    step!(2, "0002", "statuses"),
    step!(3, "0003", "columns"),
    step!(4, "0004", "leadership"),
    step!(5, "0005", "approvals"),
    step!(6, "0006", "storage"),
    step!(7, "0007", "heads"),
    step!(8, "0008", "logs"),
    step!(9, "0009", "cluster"),
    step!(10, "0010", "pause"),
    step!(11, "0011", "attempts"),
    step!(12, "0012", "queue"),
    step!(13, "0013", "operators"),
    step!(14, "0014", "days"),
    step!(15, "0015", "places"),
    step!(16, "0016", "hot"),
];

/// The version that this binary brings a database to.
pub const NEWEST: i64 = STEPS.len() as i64;

impl Step {
    /// As sqlx applies it; its checksum is that of the file.
    pub(super) fn forward(&self) -> Migration {
        self.migration(MigrationType::ReversibleUp, self.up)
    }

    /// As sqlx takes it back.
    pub(super) fn back(&self) -> Migration {
        self.migration(MigrationType::ReversibleDown, self.down)
    }

    fn migration(&self, kind: MigrationType, sql: &'static str) -> Migration {
        Migration::new(self.number, self.name.into(), kind, sql.into_sql_str(), false)
    }

    /// What it does, as SQL.
    pub(super) fn sql(&self) -> &'static str {
        self.up
    }
}
