//! The tests that need neither servers nor the `full` feature: model and engine alone.

mod jobs;
mod reference;
mod stories;
mod support;
mod tables;
mod words;

#[test]
fn it_builds_without_the_heavy_crates() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--no-default-features", "--edges", "normal", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8(tree.stdout).expect("UTF-8");
    assert!(tree.starts_with("relay v"), "cargo tree printed: {tree}");
    for heavy in ["tokio", "sqlx", "clap", "futures", "kube", "axum", "redis"] {
        let line = tree.lines().find(|line| line.split(' ').next() == Some(heavy));
        assert_eq!(line, None, "model and engine must build in seconds");
    }
}
