//! A backup becomes a folder: checked to its end first, then loaded into an
//! empty folder, which gets its file `format` last.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use fanfare_protocol::Limits;

use super::format::{BackupError, Header, Passed, Totals};
use super::read::{Reader, reading, verify};
use crate::cells::key::{Table, key};
use crate::cells::load::load;
use crate::folder::{self, CELLS_FOLDER};

/// What a restore made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup says of itself.
    pub header: Header,
    /// What is there now.
    pub totals: Totals,
    /// The newest epoch that counts as given out: the next start is above.
    pub epoch: u64,
}

/// Makes `folder` (absent or empty, or left by a restore that did not end)
/// of the backup in `file`. Epochs go on `epochs` above the backup's, so that
/// no entry written from now on has the name of one that the backup missed.
/// `progress` sees whether it is being written yet, and what has passed.
/// Blocks; durable when it returns.
///
/// # Errors
/// As [`verify`]; [`BackupError::NotEmpty`] for a folder with something in
/// it; what the disk said.
pub fn restore(
    file: &Path,
    folder: &Path,
    limits: &Limits,
    epochs: u64,
    progress: &mut dyn FnMut(bool, Passed),
) -> Result<Restored, BackupError> {
    let open = || File::open(file).map(BufReader::new).map_err(reading);
    let (header, totals) = verify(open()?, &mut |passed| progress(false, passed))?;
    let epoch = header.epoch.saturating_add(epochs);
    let lock = folder::take_empty(folder)?.ok_or_else(|| BackupError::NotEmpty(folder.into()))?;
    let mut reader = Reader::open(open()?)?;
    let mut next = || {
        let cells = reader.next_cells()?;
        let cells_all = totals.cells;
        progress(
            true,
            Passed {
                cells_all,
                ..reader.passed()
            },
        );
        Ok::<_, BackupError>(cells)
    };
    let last = (key(Table::Values, &[b"epoch"]), epoch.to_be_bytes());
    load(&folder.join(CELLS_FOLDER), limits, &mut next, &last)?;
    folder::mark_restored(folder)?;
    drop(lock);
    Ok(Restored {
        header,
        totals,
        epoch,
    })
}
