//! Single values that belong to the data: secrets made at the first start.

use bytes::Bytes;
use fanfare_engine::port::StoreError;
use fanfare_engine::secret::DataSecret;

use crate::cells::Change;
use crate::cells::key::{Table, key};
use crate::tables::Tables;

impl Tables {
    /// The value of this name; `fresh` if there is none yet. Durable when it
    /// returns, the same for everybody who asks.
    pub(crate) async fn value_or_put(&self, name: &str, fresh: Bytes) -> Result<Bytes, StoreError> {
        let key = key(Table::Values, &[b"value:", name.as_bytes()]);
        let decide = move |stored: Option<&Bytes>| {
            Ok(match stored {
                Some(stored) => (Change::Keep, stored.clone()),
                None => (Change::Set(fresh.clone()), fresh),
            })
        };
        self.cells.decide_one(key, decide).await
    }

    /// The secret that travels with the data.
    pub(crate) async fn data_secret(&self, fresh: [u8; 32]) -> Result<DataSecret, StoreError> {
        let fresh = Bytes::copy_from_slice(&fresh);
        let stored = self.value_or_put("data-secret", fresh).await?;
        let bytes = <[u8; 32]>::try_from(&stored[..]);
        let damaged = |_| StoreError::Damaged("the data secret has not 32 bytes".into());
        bytes.map(DataSecret::new).map_err(damaged)
    }
}
