//! A file's bytes, never more than a manifest may have.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::crd::finding::{Finding, Findings};
use crate::model::workflow::limits::FILE_BYTES;

/// Reads a manifest or a params file; what cannot be read, or is too long, is a finding without a line.
pub fn read(path: &Path) -> Result<Vec<u8>, Findings> {
    let refuse = |reason: String, fix: Option<&str>| {
        let file = path.display().to_string();
        let fix = fix.map(str::to_string);
        let finding = Finding { file, line: 0, column: 0, path: String::new(), reason, fix, excerpt: None };
        Findings { list: vec![finding], more: 0 }
    };
    let wrong = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => refuse("there is no such file".to_string(), Some("check the path")),
        std::io::ErrorKind::IsADirectory => refuse("this is a folder".to_string(), Some("name a file in it")),
        _ => refuse(format!("it cannot be read: {error}"), None),
    };
    let file = File::open(path).map_err(wrong)?;
    let length = file.metadata().map_err(wrong)?.len();
    let mut bytes = Vec::new();
    // One byte more shows that a pipe, whose length nobody knows, holds too much.
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() > FILE_BYTES {
        let size = length.max(bytes.len() as u64) as f64 / f64::from(1 << 20);
        let reason = format!("the file has {size:.1} MiB, and 4 MiB are allowed");
        return Err(refuse(reason, Some("split it, or keep data out of manifests")));
    }
    Ok(bytes)
}
