//! The folder of the local copy: one for each run, in the temporary folder.

use std::path::{Path, PathBuf};

/// Creates a folder for this run that no other user can read. Removes the folders of runs that were killed.
pub(super) fn create(relay: &str) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let begin = "accoil-relay-copy-";
    let temporary = std::env::temp_dir();
    for entry in std::fs::read_dir(&temporary)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(begin).and_then(|name| name.split('-').next()?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists())
            && Path::new("/proc/self").exists()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let folder = temporary.join(format!("{begin}{}-{relay}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}
