//! The tables over cells: every port, one file each, once for every store.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use fanfare_engine::port::{Readiness, StoreError};
use fanfare_engine::stamp::Stamp;

use crate::cells::cell::Column;
use crate::cells::key::Key;
use crate::cells::{Cells, Write};

/// All ports over one set of cells.
pub(crate) struct Tables {
    pub(crate) cells: Arc<dyn Cells>,
    /// Epoch of this process, zero before it claimed the slots.
    pub(crate) epoch: AtomicU64,
}

impl Tables {
    pub(crate) fn new(cells: Arc<dyn Cells>) -> Self {
        Self {
            cells,
            epoch: AtomicU64::new(0),
        }
    }
}

impl Readiness for Tables {
    fn ready(&self) -> Result<(), String> {
        self.cells.ready()
    }
}

/// The only column of most cells.
pub(crate) const WHOLE: u8 = 0;

/// Writes a cell of one column.
pub(crate) fn put(key: Key, stamp: Stamp, value: Bytes) -> Write {
    let columns = vec![Column {
        id: WHOLE,
        stamp,
        value,
    }];
    Write::Put { key, columns }
}

/// The value of a cell of one column.
pub(crate) fn whole(cell: &[u8]) -> Result<&[u8], StoreError> {
    crate::cells::cell::column(cell, WHOLE)?
        .map(|column| column.value)
        .ok_or_else(|| StoreError::Damaged("cell without its column".into()))
}
