//! Copies the outbox as it is at one moment, while a relay writes to it.
//!
//! It reads in one transaction, so that the copy never contains half a commit. Never changes the outbox.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{beside, open_reader};
use crate::outbox::{Cause, OpenError};

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("the outbox cannot be read")]
    Open(#[from] OpenError),
    #[error("{} exists already; a backup never replaces a file: name another one", path.display())]
    Exists { path: PathBuf },
    #[error("the backup cannot be written to {}; check the folder and the free space of its disk", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the outbox cannot be copied to {}; no backup was made", path.display())]
    Copy { path: PathBuf, source: Cause },
}

/// Copies the outbox at `path` into the new file `to`, which only its owner can read. Returns its size in bytes.
///
/// The copy has its name only when it is whole and on the disk.
pub fn backup(path: &Path, to: &Path) -> Result<u64, BackupError> {
    let failed = |source| BackupError::File { path: to.to_owned(), source };
    if to.exists() {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    let connection = open_reader(path)?;
    let part = beside(to, ".part");
    let copied = copy(&connection, &part, to).and_then(|size| {
        // Unlike a rename, a link does not replace a file that another program has made meanwhile.
        std::fs::hard_link(&part, to).map_err(failed)?;
        Ok(size)
    });
    let removed = std::fs::remove_file(&part);
    let size = copied?;
    removed.map_err(failed)?;
    sync_folder(to).map_err(failed)?;
    Ok(size)
}

fn copy(connection: &rusqlite::Connection, part: &Path, to: &Path) -> Result<u64, BackupError> {
    let failed = |source| BackupError::File { path: to.to_owned(), source };
    // A leftover of an earlier backup that was killed.
    match std::fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // SQLite writes into an empty file that exists, and leaves its permissions.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part).map_err(failed)?;
    connection
        .execute("VACUUM INTO ?1", [part.to_string_lossy()])
        .map_err(|source| BackupError::Copy { path: to.to_owned(), source: source.into() })?;
    file.sync_all().map_err(failed)?;
    Ok(file.metadata().map_err(failed)?.len())
}

fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
