//! The note of a recovery that has begun, in a file beside the outbox (`relay.db.recovering`).
//!
//! While the note exists, no outbox is opened there, and a recovery continues with the files that the note names. So a
//! recovery that was interrupted can run again, however far it was.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::beside;
use super::owner::Mark;
use crate::outbox::OpenError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// Where the damaged file is moved to.
    pub(super) aside: PathBuf,
    /// False while the damaged files may be in their old place. True if what is there is only the new outbox, which is not
    /// complete.
    pub(super) is_moved: bool,
    /// The mark that the last owner of the damaged outbox left.
    pub(super) mark: Option<Mark>,
}

impl Note {
    /// Returns the note beside this outbox.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        let text = match std::fs::read_to_string(place(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        Self::parse(path, &text).map(Some).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// Writes the note. It is on the disk when this returns.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let new = beside(path, ".recovering-new");
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(self.to_text().as_bytes())?;
        file.sync_all()?;
        // What was moved before is on the disk first.
        sync_folder(path)?;
        std::fs::rename(new, place(path))?;
        sync_folder(path)
    }

    /// Removes the note, after everything else is on the disk.
    pub(super) fn remove(path: &Path) -> io::Result<()> {
        sync_folder(path)?;
        std::fs::remove_file(place(path))?;
        sync_folder(path)
    }

    fn to_text(&self) -> String {
        let name = self.aside.file_name().unwrap_or_default().to_string_lossy();
        let place = if self.is_moved { "moved" } else { "moving" };
        format!("{place}\n{name}\n{}", self.mark.map(Mark::to_line).unwrap_or_default())
    }

    fn parse(path: &Path, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let is_moved = match lines.next()? {
            "moved" => true,
            "moving" => false,
            _ => return None,
        };
        let aside = path.with_file_name(lines.next()?);
        Some(Self { aside, is_moved, mark: lines.next().and_then(Mark::parse) })
    }
}

/// Fails if a recovery of this outbox was interrupted.
pub(super) fn refuse_interrupted(path: &Path) -> Result<(), OpenError> {
    if !place(path).exists() {
        return Ok(());
    }
    let what = "its recovery was interrupted".to_owned();
    Err(OpenError::Damaged { path: path.to_owned(), what })
}

fn place(path: &Path) -> PathBuf {
    beside(path, ".recovering")
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
