//! The store in memory: for tests, gone with the process.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_engine::port::StoreError;
use fanfare_engine::secret::DataSecret;

use crate::cells::memory::MemoryCells;
use crate::ports::Ports;
use crate::tables::Tables;

/// A store in memory.
#[derive(Clone)]
pub struct Memory {
    tables: Arc<Tables>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        let cells = Arc::new(MemoryCells::default());
        Self {
            tables: Arc::new(Tables::new(cells)),
        }
    }

    /// Its ports.
    pub fn ports(&self) -> Ports {
        Ports::sole(&self.tables)
    }

    /// See [`crate::Embedded::value_or_put`].
    ///
    /// # Errors
    /// None that a store in memory meets.
    pub async fn value_or_put(&self, name: &str, fresh: Bytes) -> Result<Bytes, StoreError> {
        self.tables.value_or_put(name, fresh).await
    }

    /// See [`crate::Embedded::data_secret`].
    ///
    /// # Errors
    /// None that a store in memory meets.
    pub async fn data_secret(&self, fresh: [u8; 32]) -> Result<DataSecret, StoreError> {
        self.tables.data_secret(fresh).await
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}
