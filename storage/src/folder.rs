//! Folders: locked by one process; that of the embedded store is marked with
//! its format.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::cells::embedded::CellsError;

/// Version of the format that this build writes, and the newest it reads.
/// `docs/storage-format.md` says what each one means.
pub const FORMAT: u32 = 1;

const LOCK_FILE: &str = "lock";
const FORMAT_FILE: &str = "format";
/// There while a restore fills the folder; such a folder is never opened.
const RESTORING_FILE: &str = "restoring";
const FORMAT_LINE: &str = "fanfare embedded store, format ";
pub(crate) const CELLS_FOLDER: &str = "cells";

/// Why a folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// A newer version wrote it.
    #[error(
        "{} was written by a newer version (format {found}, this one reads up to {newest})",
        folder.display()
    )]
    Newer {
        /// Which folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
        /// What this build reads.
        newest: u32,
    },
    /// There is data in it, but not ours, or its mark is damaged.
    #[error("{} is no data folder of Fanfare: {why}", folder.display())]
    Foreign {
        /// Which folder.
        folder: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The file system refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("opening the store in {}", folder.display())]
    Cells {
        /// Which folder.
        folder: PathBuf,
        /// Why it failed.
        source: CellsError,
    },
}

/// Locks `folder` as [`lock`] does, and checks its format.
pub(crate) fn take(folder: &Path) -> Result<File, OpenError> {
    let lock = lock(folder)?;
    let mark = folder.join(FORMAT_FILE);
    match std::fs::read_to_string(&mark) {
        Ok(text) => check(folder, &text)?,
        Err(error) if error.kind() == ErrorKind::NotFound => mark_new(folder)?,
        Err(error) if error.kind() == ErrorKind::InvalidData => check(folder, "")?,
        Err(source) => return Err(io("reading", &mark, source)),
    }
    Ok(lock)
}

/// Locks a folder that is empty, absent, or left by a restore that did not
/// end; none for any other. Nobody opens it before [`mark_restored`].
pub(crate) fn take_empty(folder: &Path) -> Result<Option<File>, OpenError> {
    let mark = folder.join(RESTORING_FILE);
    if folder.exists() {
        let reading = |source| io("reading", folder, source);
        let unfinished = !folder.join(FORMAT_FILE).exists()
            && (mark.exists() || !folder.join(CELLS_FOLDER).exists());
        let ours = [
            LOCK_FILE,
            RESTORING_FILE,
            CELLS_FOLDER,
            "format.new",
            "restoring.new",
        ];
        for entry in std::fs::read_dir(folder).map_err(reading)? {
            let name = entry.map_err(reading)?.file_name();
            if !(unfinished && ours.iter().any(|known| name == *known)) {
                return Ok(None);
            }
        }
    }
    let lock = lock(folder)?;
    place(folder, RESTORING_FILE, |_| Ok(String::new()))?;
    let cells = folder.join(CELLS_FOLDER);
    if cells.exists() {
        std::fs::remove_dir_all(&cells).map_err(|source| io("removing", &cells, source))?;
    }
    Ok(Some(lock))
}

/// Ends a restore: from now on the folder may be opened.
pub(crate) fn mark_restored(folder: &Path) -> Result<(), OpenError> {
    place_format(folder)?;
    let mark = folder.join(RESTORING_FILE);
    std::fs::remove_file(&mark).map_err(|source| io("removing", &mark, source))?;
    sync(folder)
}

/// Locks `folder`, made if it does not exist (mode 0700). The lock ends with
/// the file that is returned.
pub(crate) fn lock(folder: &Path) -> Result<File, OpenError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|source| io("creating", folder, source))?;
    let path = folder.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| io("opening", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(io("locking", &path, source)),
    }
}

fn check(folder: &Path, text: &str) -> Result<(), OpenError> {
    let foreign = || OpenError::Foreign {
        folder: folder.to_owned(),
        why: "its file `format` is not ours",
    };
    let found = text.strip_prefix(FORMAT_LINE).ok_or_else(foreign)?;
    match found.trim_end().parse::<u32>() {
        Ok(FORMAT) => Ok(()),
        Ok(found) if found > FORMAT => Err(OpenError::Newer {
            folder: folder.to_owned(),
            found,
            newest: FORMAT,
        }),
        Ok(_) | Err(_) => Err(foreign()),
    }
}

/// Marks an empty folder before anything else is in it, so that data without
/// a mark is never ours.
fn mark_new(folder: &Path) -> Result<(), OpenError> {
    if folder.join(RESTORING_FILE).exists() {
        return Err(OpenError::Foreign {
            folder: folder.to_owned(),
            why: "a restore into it did not end: run it again",
        });
    }
    if folder.join(CELLS_FOLDER).exists() {
        return Err(OpenError::Foreign {
            folder: folder.to_owned(),
            why: "there is data, but its file `format` is missing",
        });
    }
    place_format(folder)
}

fn place_format(folder: &Path) -> Result<(), OpenError> {
    place(folder, FORMAT_FILE, |_| {
        Ok(format!("{FORMAT_LINE}{FORMAT}\n"))
    })
}

/// Puts a file into `folder`, with the text that is made of it: whole under
/// its name or not at all, also after a power cut.
pub(crate) fn place(
    folder: &Path,
    name: &str,
    text: impl FnOnce(&File) -> std::io::Result<String>,
) -> Result<(), OpenError> {
    let (path, draft) = (folder.join(name), folder.join(format!("{name}.new")));
    let written = File::create(&draft).and_then(|mut file| {
        let text = text(&file)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| io("writing", &draft, source))?;
    std::fs::rename(&draft, &path).map_err(|source| io("naming", &path, source))?;
    sync(folder)
}

fn sync(folder: &Path) -> Result<(), OpenError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| io("syncing", folder, source))
}

pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let lock = take(folder.path()).unwrap();
        let second = take(folder.path());
        assert!(matches!(second, Err(OpenError::Locked(_))));
        drop(lock);
        take(folder.path()).unwrap();
    }
}
