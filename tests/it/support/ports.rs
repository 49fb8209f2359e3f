//! Ports for servers that are told theirs, so that it must be known before they listen.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that the kernel gives to outgoing connections (32768 and up), and apart from the bed's own. A port
/// out of that range is anybody's again as soon as its finder closes it: a connection that another test opens takes it.
const FIRST: u16 = 10_000;
const COUNT: u16 = 10_000;

/// A port that is free now, on every address, and that nobody else here is given.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another test process begins elsewhere.
    let begin = u16::try_from(u32::from(COUNT) * (std::process::id() % 97) / 97).expect("below the count");
    for _ in 0..COUNT {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} on is free")
}

#[test]
fn a_port_is_given_once_and_is_none_of_the_kernels() {
    let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
    assert_eq!(ports.len(), 50);
    assert!(ports.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)), "{ports:?}");
}
