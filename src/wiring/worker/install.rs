//! A copy of this program in the pod of a user's image, which does not have it.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use anyhow::Context as _;

/// Copies this program to `dir`/relay, all of it or nothing.
pub fn install(dir: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("this program's own file is not known")?;
    let target = dir.join("relay");
    let copied = || -> io::Result<()> {
        let mut source = fs::File::open(&program)?;
        let mut copy = tempfile::NamedTempFile::new_in(dir)?;
        io::copy(&mut source, &mut copy)?;
        copy.as_file().set_permissions(fs::Permissions::from_mode(0o755))?;
        // A node that dies right now must not leave half a program under this name.
        copy.as_file().sync_all()?;
        copy.persist(&target)?;
        Ok(())
    };
    copied().with_context(|| format!("{} could not be copied to {}", program.display(), target.display()))
}
