//! Slots of one owner: its epoch is the number of its claim. And single
//! values, changed by compare-and-set.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use fanfare_engine::port::{Ownership, PortFuture, StoreError};
use fanfare_protocol::limits::CQL_CAS_ROUNDS;

use super::accounts::perhaps;
use super::error::damaged;
use super::run::Cas;
use super::store::Rows;
use super::value::Value;

/// Where the epochs given out so far are counted.
const EPOCH: &str = "epoch";

impl Ownership for Rows {
    fn claim_slots(&self) -> PortFuture<'_, u64> {
        Box::pin(async move {
            for _ in 0..CQL_CAS_ROUNDS {
                let stored = self.single(EPOCH).await?;
                let before = match &stored {
                    Some(stored) => u64::from_be_bytes(stored[..].try_into().map_err(damaged)?),
                    None => 0,
                };
                let epoch = before.saturating_add(1);
                let next = Bytes::copy_from_slice(&epoch.to_be_bytes());
                // Of an epoch whose claim has no known outcome nobody makes
                // use: it may be somebody else's.
                if self.set_single(EPOCH, next, stored).await? == Cas::Applied {
                    self.epoch.fetch_max(epoch, Ordering::AcqRel);
                    return Ok(epoch);
                }
            }
            let why = "compare-and-set found no quiet moment";
            Err(StoreError::Unavailable(why.into()))
        })
    }

    fn holds(&self, _slot: u16, epoch: u64) -> bool {
        // Zero stands for "never claimed", and is nobody's epoch.
        epoch != 0 && self.epoch.load(Ordering::Acquire) == epoch
    }
}

impl Rows {
    /// The value of this name; `fresh` if there is none yet.
    pub(crate) async fn single_or_put(
        &self,
        name: String,
        fresh: Bytes,
    ) -> Result<Bytes, StoreError> {
        let mut uncertain = false;
        for _ in 0..CQL_CAS_ROUNDS {
            let stored = self.single(&name).await;
            if let Some(stored) = stored.map_err(|error| perhaps(error, uncertain))? {
                return Ok(stored);
            }
            match self.set_single(&name, fresh.clone(), None).await {
                Ok(cas) => uncertain = cas == Cas::Unknown,
                Err(error) => return Err(perhaps(error, uncertain)),
            }
        }
        let why = StoreError::Unavailable("compare-and-set found no quiet moment".into());
        Err(perhaps(why, uncertain))
    }

    async fn single(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        let asked = vec![Value::Text(name.to_owned())];
        let answer = self.read(&self.statements.single, asked).await?;
        let row = answer.maybe_first_row::<(Bytes,)>().map_err(damaged)?;
        Ok(row.map(|(value,)| value))
    }

    async fn set_single(
        &self,
        name: &str,
        value: Bytes,
        stored: Option<Bytes>,
    ) -> Result<Cas, StoreError> {
        let name = Value::Text(name.to_owned());
        let value = Value::Bytes(value);
        match stored {
            None => {
                let values = vec![name, value];
                self.compare_and_set(&self.statements.new_single, values)
                    .await
            }
            Some(stored) => {
                let values = vec![value, name, stored.into()];
                self.compare_and_set(&self.statements.set_single, values)
                    .await
            }
        }
    }
}
