//! The embedded store: fjall in a folder, no server to install.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fanfare_engine::port::StoreError;
use fanfare_engine::secret::DataSecret;
use fanfare_protocol::Limits;

use crate::backup::Backups;
use crate::cells::embedded::{CellsError, EmbeddedCells};
use crate::folder::{self, CELLS_FOLDER, OpenError};
use crate::ports::Ports;
use crate::tables::Tables;

/// A store in a folder of this process. Its end closes it: ports that
/// outlive it answer `Unavailable`.
pub struct Embedded {
    cells: Arc<EmbeddedCells>,
    tables: Arc<Tables>,
}

impl Embedded {
    /// Opens the store in `folder`, made if it does not exist. Blocks while
    /// the journal is read back.
    ///
    /// # Errors
    /// [`OpenError::Locked`] while another process has it,
    /// [`OpenError::Newer`] for data of a newer version, [`OpenError::Foreign`]
    /// for what is no store of ours, else what the disk said.
    pub fn open(folder: &Path, limits: &Limits) -> Result<Self, OpenError> {
        let lock = folder::take(folder)?;
        let opened = EmbeddedCells::open(&folder.join(CELLS_FOLDER), limits, lock);
        let cells = opened.map(Arc::new).map_err(|source| match source {
            CellsError::Database(fjall::Error::Locked) => OpenError::Locked(folder.to_owned()),
            source => OpenError::Cells {
                folder: folder.to_owned(),
                source,
            },
        })?;
        let tables = Arc::new(Tables::new(cells.clone()));
        Ok(Self { cells, tables })
    }

    /// Its ports.
    pub fn ports(&self) -> Ports {
        Ports::sole(&self.tables)
    }

    /// Takes backups of it, also while it is in use.
    pub fn backups(&self) -> Backups {
        Backups::new(self.cells.clone())
    }

    /// The value kept under `name`; `fresh` if there is none yet. For secrets
    /// that travel with the data. Durable when it returns.
    ///
    /// # Errors
    /// As every write: see [`StoreError`].
    pub async fn value_or_put(&self, name: &str, fresh: Bytes) -> Result<Bytes, StoreError> {
        self.tables.value_or_put(name, fresh).await
    }

    /// The secret under which keys and requests are hashed; 32 `fresh`
    /// random bytes become it at the first start.
    ///
    /// # Errors
    /// As every write: see [`StoreError`].
    pub async fn data_secret(&self, fresh: [u8; 32]) -> Result<DataSecret, StoreError> {
        self.tables.data_secret(fresh).await
    }

    /// Writes what waits, refuses everything else from now on, and gives the
    /// folder free. Blocks until then (call it from a thread that may); a
    /// second call does nothing. Dropping does the same.
    pub fn close(&self) {
        self.cells.close();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}
