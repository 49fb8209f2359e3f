//! scratch
use crate::crd::{Overrides, load};
#[test]
fn probe() {
    let flags: Vec<String> =
        std::env::var("FLAGS").unwrap_or_default().split_whitespace().map(str::to_string).collect();
    let o = match Overrides::read(&flags, None) {
        Ok(o) => o,
        Err(f) => {
            println!("{f}");
            return;
        }
    };
    for file in std::env::var("PROBE").unwrap().split(',') {
        let bytes = std::fs::read(file).unwrap();
        match load(file, &bytes, &o) {
            Ok(m) => println!("{m:#?}"),
            Err(f) => println!("{f}"),
        }
    }
}
