//! Slots of a cluster of one: one owner of everything, its epoch the number
//! of its claim.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use fanfare_engine::port::{Ownership, PortFuture};

use crate::cells::Change;
use crate::cells::cell::take_number;
use crate::cells::key::{Table, key};
use crate::tables::Tables;

impl Ownership for Tables {
    fn claim_slots(&self) -> PortFuture<'_, u64> {
        Box::pin(async move {
            let decide = |stored: Option<&Bytes>| {
                let before = match stored {
                    Some(stored) => take_number(&mut &stored[..])?,
                    None => 0,
                };
                let epoch = before.saturating_add(1);
                let value = Bytes::copy_from_slice(&epoch.to_be_bytes());
                Ok((Change::Set(value), epoch))
            };
            let epoch = self
                .cells
                .decide_one(key(Table::Values, &[b"epoch"]), decide)
                .await?;
            self.epoch.fetch_max(epoch, Ordering::AcqRel);
            Ok(epoch)
        })
    }

    fn holds(&self, _slot: u16, epoch: u64) -> bool {
        // Zero stands for "never claimed", and is nobody's epoch.
        epoch != 0 && self.epoch.load(Ordering::Acquire) == epoch
    }
}
