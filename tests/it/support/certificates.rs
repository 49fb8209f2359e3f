//! Certificates for a server of a test's own.

use std::path::Path;
use std::process::{Command, Stdio};

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(folder).stdin(Stdio::null());
    let output = command.output().expect("openssl starts");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority (`ca.crt`), a certificate of it for 127.0.0.1 (`server.crt`, `server.key`), and an authority that has
/// nothing to do with it (`other.crt`).
pub fn certificates(folder: &Path) {
    const KEY: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    for name in ["ca", "other"] {
        openssl(folder, &format!("{KEY} -subj /CN={name} -keyout {name}.key -out {name}.crt"));
    }
    openssl(
        folder,
        &format!(
            "{KEY} -subj /CN=server -CA ca.crt -CAkey ca.key -addext basicConstraints=critical,CA:FALSE \
             -addext subjectAltName=IP:127.0.0.1 -keyout server.key -out server.crt"
        ),
    );
}
