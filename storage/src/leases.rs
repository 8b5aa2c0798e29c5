//! Leases and slots, for several owners that share one store in a process.

use bytes::Bytes;
use fanfare_engine::codec::{decode, encode};
use fanfare_engine::lease::{LeaseRow, NodeName, SlotRow};
use fanfare_engine::port::{Leases, PortFuture, StoreError, Swap};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cells::key::{Key, Table, key};
use crate::cells::{Change, Range, View};
use crate::log::page;
use crate::tables::Tables;

impl Leases for Tables {
    fn lease(&self, node: NodeName) -> PortFuture<'_, Option<LeaseRow>> {
        Box::pin(self.swappable(lease_key(&node)))
    }

    fn swap_lease(
        &self,
        node: NodeName,
        expected: Option<LeaseRow>,
        next: LeaseRow,
    ) -> PortFuture<'_, Swap<LeaseRow>> {
        Box::pin(self.swap(lease_key(&node), expected, next))
    }

    fn slots(&self) -> PortFuture<'_, Vec<(u16, SlotRow)>> {
        let prefix = key(Table::Slots, &[]);
        let read = move |view: &dyn View| {
            let mut found = Vec::new();
            let all = Range::of_ids(&prefix, None);
            page(view, all, usize::MAX, |key, stored| {
                let slot = key.last_chunk::<2>().copied().unwrap_or_default();
                found.push((u16::from_be_bytes(slot), decode(stored)?));
                Ok(())
            })?;
            Ok(found)
        };
        Box::pin(async move { self.cells.fetch(read).await })
    }

    fn slot(&self, slot: u16) -> PortFuture<'_, Option<SlotRow>> {
        Box::pin(self.swappable(slot_key(slot)))
    }

    fn swap_slot(
        &self,
        slot: u16,
        expected: Option<SlotRow>,
        next: SlotRow,
    ) -> PortFuture<'_, Swap<SlotRow>> {
        Box::pin(self.swap(slot_key(slot), expected, next))
    }
}

impl Tables {
    async fn swappable<T>(&self, key: Key) -> Result<Option<T>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let stored = self.cells.fetch(move |view| view.get(&key)).await?;
        Ok(stored.map(|stored| decode(&stored)).transpose()?)
    }

    async fn swap<T>(&self, key: Key, expected: Option<T>, next: T) -> Result<Swap<T>, StoreError>
    where
        T: DeserializeOwned + Serialize + PartialEq + Send + Sync + 'static,
    {
        let value = encode(&next)?;
        let decide = move |stored: Option<&Bytes>| {
            let found: Option<T> = stored.map(|stored| decode(stored)).transpose()?;
            Ok(match found == expected {
                true => (Change::Set(value), Swap::Applied),
                false => (Change::Keep, Swap::Found(found)),
            })
        };
        self.cells.decide_one(key, decide).await
    }
}

fn lease_key(node: &NodeName) -> Key {
    key(Table::Leases, &[node.as_str().as_bytes()])
}

fn slot_key(slot: u16) -> Key {
    key(Table::Slots, &[&slot.to_be_bytes()])
}
