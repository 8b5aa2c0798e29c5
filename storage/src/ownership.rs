//! Slots of a process that has the store to itself: one owner of everything,
//! its epoch the number of its claim.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use fanfare_engine::port::{Ownership, PortFuture, SoleOwner};

use crate::cells::Change;
use crate::cells::cell::take_number;
use crate::cells::key::{Table, key};
use crate::tables::Tables;

impl SoleOwner for Tables {
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
}

impl Ownership for Tables {
    fn serves(&self, _slot: u16) -> Option<u64> {
        // Zero stands for "never claimed", and is nobody's epoch.
        Some(self.epoch.load(Ordering::Acquire)).filter(|epoch| *epoch != 0)
    }

    fn keeps(&self, slot: u16, epoch: u64) -> bool {
        self.serves(slot) == Some(epoch)
    }

    fn holds(&self, slot: u16, epoch: u64) -> bool {
        self.keeps(slot, epoch)
    }
}
