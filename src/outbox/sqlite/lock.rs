//! Ownership of an outbox: one process at a time, by whatever name it knows the file.
//!
//! There are two locks of the operating system: on the lock file beside the database, whose content shows how the
//! last owner ended, and on the database file itself, because a bind mount may show it in two folders. A database
//! with a second name (a hard link) is refused, because each name would have a log of its own.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::owner::{self, Mark};
use crate::outbox::OpenError;

/// Ownership of an outbox, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// Only locked, never read. It must be closed after every connection, because closing it releases SQLite's locks
    /// on the file.
    database: File,
    /// The mark that the last owner left, if it was killed.
    pub(super) mark: Option<Mark>,
    /// True if the file must still report a killed owner after this owner has ended.
    stays: bool,
}

impl Lock {
    /// Writes, after a commit, how far the outbox is committed.
    pub(super) fn write_mark(&self, mark: Mark) {
        // If the disk is full, the last mark stays, which is still true.
        let _ = owner::write_mark(&self.file, mark);
    }

    /// From now on the log may contain something that the database file does not.
    pub(super) const fn begin(&mut self) {
        self.stays = true;
    }

    /// The outbox was closed in order, so its log is empty.
    pub(super) const fn end(&mut self) {
        self.stays = false;
    }

    /// Replaces a database file that was moved away with a new one, and forgets the mark of the old one.
    pub(super) fn renew(self, path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::File { path: path.to_owned(), source };
        self.file.set_len(0).map_err(failed)?;
        drop(self);
        lock(path)
    }

    /// Returns the mark that the last owner left, if it was killed.
    pub(super) const fn mark(&self) -> Option<Mark> {
        self.mark
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.stays {
            // If the file cannot be changed, the worst result is that its owner looks killed.
            let _ = self.file.set_len(0);
        }
        // Closing is not enough: a child process that is just starting may hold the file a moment longer.
        let _ = self.file.unlock();
        let _ = self.database.unlock();
    }
}

/// Locks the outbox. Creates its file, readable only by this user, if there is none.
pub fn lock(path: &Path) -> Result<Lock, OpenError> {
    let failed = |source| OpenError::File { path: path.to_owned(), source };
    let path = &canonical(path);
    let lock_file = || OpenError::LockFile { path: super::beside(path, ".lock") };
    let file = match owner::open(path) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => return Err(lock_file()),
        file => file.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.nlink() > 1 {
        return Err(lock_file());
    }
    try_lock(&file, path)?;
    let database = open_database(path).map_err(failed)?;
    if database.metadata().map_err(failed)?.nlink() > 1 {
        return Err(OpenError::Linked { path: path.to_owned() });
    }
    try_lock(&database, path)?;
    let was_killed = file.metadata().map_err(failed)?.len() > 0;
    let mark = owner::mark(&file).filter(|_| was_killed);
    // If the disk is full, nothing is written, which does not prevent opening. It is synced, so that it survives a
    // power cut.
    let _ = owner::write_owned(&file).and_then(|()| file.sync_data());
    Ok(Lock { file, database, mark, stays: was_killed })
}

fn try_lock(file: &File, path: &Path) -> Result<(), OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path: path.to_owned(), source }),
    }
}

/// Opens the database file. SQLite gives the files beside it the same permissions.
fn open_database(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    if let Err(error) = options.clone().create_new(true).open(path)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    let file = options.open(path)?;
    // A new file must not disappear in a power cut that leaves its log.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}

/// Returns the real path of a file, whatever links lead to it. The lock file and the log are beside that one.
pub(super) fn canonical(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let in_folder = || Some(folder.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

/// Warns if other users of the machine can read the outbox's folder.
pub(super) fn warn_of_readers(path: &Path) {
    let path = canonical(path);
    let Some(folder) = path.parent() else { return };
    let others = 0o005;
    if folder.metadata().is_ok_and(|metadata| metadata.mode() & others != 0) {
        tracing::warn!(
            outbox.folder = %folder.display(),
            "other users of this machine can read the outbox's folder; the files that the relay creates are closed to \
             them, copies and older files may not be: run chmod o-rwx on the folder"
        );
    }
    let database = path.metadata().map_or(0, |metadata| metadata.mode());
    if database & 0o044 != 0 {
        tracing::warn!(
            outbox.url.path = %path.display(),
            "other users of this machine can read the outbox, which holds personal data: run chmod 600 on its files"
        );
    }
}
