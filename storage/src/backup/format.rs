//! The file: a line that names the format, then blocks. Each block carries a
//! checksum over itself and the one before, so that none can be missing.

use std::path::PathBuf;

use fanfare_engine::codec::CodecError;
use fanfare_engine::port::StoreError;
use fanfare_protocol::Timestamp;
use fanfare_protocol::limits::BACKUP_BLOCK_BYTES_MAX;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cells::cell::{column, take_number};
use crate::cells::key::Table;
use crate::log::FIXED;

/// Version of the file's format that this build writes, and the newest it
/// reads.
pub const BACKUP_FORMAT: u32 = 1;

pub(super) const FORMAT_LINE: &str = "fanfare backup, format ";

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// [`Header`]; the first block.
    Header = 1,
    /// Cells: key length (4), value length (4), key, value, again and again.
    Cells = 2,
    /// [`Totals`]; the last block.
    End = 3,
}

impl Kind {
    pub(super) fn of(byte: u8) -> Option<Self> {
        [Self::Header, Self::Cells, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Format of the cells ([`crate::FORMAT`]).
    pub data_format: u32,
    /// The newest epoch given out before.
    pub epoch: u64,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Version of the program that made it.
    pub version: String,
    /// How many cells follow, about, to tell how far somebody is; 0 in old ones.
    #[serde(default)]
    pub cells_about: u64,
}

/// How much of a backup has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// So far.
    pub totals: Totals,
    /// Cells of all of it: about, while it is read for the first time.
    pub cells_all: u64,
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Cells.
    pub cells: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Conversations with at least one entry.
    pub conversations: u64,
    /// Messages ever sent in them.
    pub messages: u64,
}

/// Counts cells as they pass, in order.
#[derive(Debug, Default)]
pub(super) struct Counter {
    totals: Totals,
    /// The log that is passing, and its messages so far.
    log: Option<([u8; 16], u64)>,
}

impl Counter {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.totals.cells += 1;
        self.totals.bytes += (key.len() + value.len()) as u64;
        let Some((&[table], rest)) = key.split_first_chunk::<1>() else {
            return Err(StoreError::Damaged("a cell without a table".into()));
        };
        if table != Table::Log as u8 {
            return Ok(());
        }
        let Some(conversation) = rest.first_chunk::<16>() else {
            return Err(StoreError::Damaged("a row without its log".into()));
        };
        let mno = match column(value, FIXED)? {
            // Behind the epoch.
            Some(fixed) => take_number(&mut fixed.value.get(8..).unwrap_or_default())?,
            None => return Ok(()),
        };
        match &mut self.log {
            Some((log, messages)) if log == conversation => {
                self.totals.messages += mno.saturating_sub(*messages);
                *messages = mno;
            }
            log => {
                self.totals.conversations += 1;
                self.totals.messages += mno;
                *log = Some((*conversation, mno));
            }
        }
        Ok(())
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }
}

/// The checksum of a block is that of everything up to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain([u8; 32]);

impl Chain {
    /// Before the first block of a file with this first line.
    pub(super) fn new(line: &str) -> Self {
        Self(Sha256::digest(line).into())
    }

    /// Goes on over one block, whose checksum is returned.
    pub(super) fn add(&mut self, kind: u8, payload: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update([kind]);
        hash.update((payload.len() as u64).to_be_bytes());
        hash.update(payload);
        self.0 = hash.finalize().into();
        self.0
    }
}

/// A block as it is written: kind (1), length (4), checksum (32), payload.
pub(super) fn block(chain: &mut Chain, kind: Kind, payload: &[u8]) -> Result<Vec<u8>, BackupError> {
    let length = u32::try_from(payload.len());
    let length = length
        .ok()
        .filter(|_| payload.len() <= BACKUP_BLOCK_BYTES_MAX);
    let length = length.ok_or_else(|| StoreError::Damaged("a cell too large".into()))?;
    let mut bytes = Vec::with_capacity(37 + payload.len());
    bytes.push(kind as u8);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&chain.add(kind as u8, payload));
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// Why there is no backup, or no data from one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store refused.
    #[error("reading the store")]
    Store(#[from] StoreError),
    /// It is something else.
    #[error("this is no backup of Fanfare")]
    Foreign,
    /// A newer version made it.
    #[error(
        "a newer version made this backup ({what} format {found}, this one reads up to {newest})"
    )]
    Newer {
        /// Of the file or of the data in it.
        what: &'static str,
        /// Its format.
        found: u32,
        /// What this build reads.
        newest: u32,
    },
    /// Not what was written, or not all of it.
    #[error("the backup is damaged in block {block}: {why}")]
    Damaged {
        /// Which block, from 0 for the header.
        block: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// There is something in the folder already.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A file or a connection failed.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The folder could not be prepared.
    #[error("preparing the folder")]
    Folder(#[from] crate::OpenError),
    /// The database refused.
    #[error("writing the cells")]
    Cells(#[from] crate::CellsError),
}

impl From<CodecError> for BackupError {
    fn from(error: CodecError) -> Self {
        Self::Store(error.into())
    }
}
