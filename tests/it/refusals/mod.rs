//! Input that is refused: what a user reads, to the letter, the exit status, and that nothing has run.

mod files;
mod manifests;
mod params;

use super::run::Desk;
use crate::support::Told;

/// What is said of the desk's manifest, with these arguments. Its tasks would have left a mark.
#[track_caller]
fn refused(desk: &Desk, arguments: &[&str]) -> String {
    let mut command = desk.relay_without_file();
    let folder = desk.path("");
    let told = Told::of(command.arg("flow.yaml").args(arguments).current_dir(folder));
    assert_eq!((told.code, told.lines.len()), (Some(2), 0), "{:?}", told.lines);
    assert!(desk.marks().is_empty(), "something ran");
    told.errors
}

#[track_caller]
fn refuses(manifest: &str, arguments: &[&str], told: &str) {
    let errors = refused(&Desk::new(manifest), arguments);
    assert!(errors == told, "this was told:\n{errors}\nand this was expected:\n{told}");
}
