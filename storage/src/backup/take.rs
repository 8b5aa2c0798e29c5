//! Taking a backup: one view of all cells, read in order by one of the
//! store's threads, block by block into a writer.

use std::io::Write;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use fanfare_engine::codec::encode;
use fanfare_engine::port::{Order, StoreError};
use fanfare_protocol::Timestamp;
use fanfare_protocol::limits::BACKUP_BLOCK_BYTES;

use super::format::{
    BACKUP_FORMAT, BackupError, Chain, Counter, FORMAT_LINE, Header, Kind, Totals, block,
};
use crate::cells::cell::take_number;
use crate::cells::key::{Table, key};
use crate::cells::{Cells, Range, View};

/// Takes backups of a store that is in use. Outlives it harmlessly.
#[derive(Clone)]
pub struct Backups {
    cells: Arc<dyn Cells>,
}

impl Backups {
    pub(crate) fn new(cells: Arc<dyn Cells>) -> Self {
        Self { cells }
    }

    /// Writes all cells as of now to `out`, which may block: one of the
    /// store's reading threads waits for it, and what changes meanwhile
    /// takes room on the disk twice. Does not sync.
    ///
    /// # Errors
    /// What the store or `out` said; then what was written has no end, which
    /// [`super::verify`] notices.
    pub async fn take(
        &self,
        out: impl Write + Send + 'static,
        created_at: Timestamp,
        version: String,
    ) -> Result<Totals, BackupError> {
        let write = move |view: &dyn View| {
            let mut out = out;
            Ok(write(view, &mut out, created_at, version))
        };
        self.cells.fetch(write).await?
    }
}

struct Blocks<'a> {
    out: &'a mut dyn Write,
    chain: Chain,
    counter: Counter,
    waiting: Vec<u8>,
}

impl Blocks<'_> {
    fn put(&mut self, kind: Kind, payload: &[u8]) -> Result<(), BackupError> {
        let bytes = block(&mut self.chain, kind, payload)?;
        written(self.out.write_all(&bytes))
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), BackupError> {
        self.counter.add(key, value)?;
        for part in [key, value] {
            let length = u32::try_from(part.len());
            let length = length.map_err(|_| StoreError::Damaged("a cell too large".into()))?;
            self.waiting.extend_from_slice(&length.to_be_bytes());
        }
        self.waiting.extend_from_slice(key);
        self.waiting.extend_from_slice(value);
        if self.waiting.len() >= BACKUP_BLOCK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let payload = std::mem::take(&mut self.waiting);
        self.put(Kind::Cells, &payload)?;
        self.waiting = payload;
        self.waiting.clear();
        Ok(())
    }
}

fn write(
    view: &dyn View,
    out: &mut dyn Write,
    created_at: Timestamp,
    version: String,
) -> Result<Totals, BackupError> {
    let line = format!("{FORMAT_LINE}{BACKUP_FORMAT}\n");
    written(out.write_all(line.as_bytes()))?;
    let mut blocks = Blocks {
        out,
        chain: Chain::new(&line),
        counter: Counter::default(),
        waiting: Vec::with_capacity(BACKUP_BLOCK_BYTES),
    };
    let header = Header {
        data_format: crate::FORMAT,
        epoch: epoch_of(view.get(&key(Table::Values, &[b"epoch"]))?)?,
        created_at,
        version,
        cells_about: view.cells_about(),
    };
    blocks.put(Kind::Header, &encode(&header)?)?;
    let all = Range {
        from: Bound::Unbounded,
        to: Bound::Unbounded,
        order: Order::Ascending,
    };
    let mut failed = None;
    view.scan(all, &mut |key, value| {
        Ok(match blocks.add(key, value) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    blocks.flush()?;
    let totals = blocks.counter.totals();
    blocks.put(Kind::End, &encode(&totals)?)?;
    written(blocks.out.flush())?;
    Ok(totals)
}

/// The newest epoch given out, as it is stored.
pub(super) fn epoch_of(stored: Option<Bytes>) -> Result<u64, StoreError> {
    match stored {
        Some(stored) => take_number(&mut &stored[..]),
        None => Ok(0),
    }
}

fn written(outcome: std::io::Result<()>) -> Result<(), BackupError> {
    outcome.map_err(|source| BackupError::Io {
        doing: "writing the backup",
        source,
    })
}
