//! Files of the state directory, where things are kept over a restart: each is there as a whole, or as it was before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file in the place of what was there by its name, once it is on the disk.
pub(crate) fn write(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let beside = folder.join(format!("{name}.next"));
    // Whoever can write it can be anybody, and decides who comes.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(beside, folder.join(name))?;
    // Else the rename may be lost with the power (rename(2) says nothing of it; fsync(2) does).
    File::open(folder)?.sync_all()
}
