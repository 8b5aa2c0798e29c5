//! Single values, and the counter of epochs.

use bytes::Bytes;
use fanfare_engine::port::{PortFuture, Single, Singles};

use crate::cells::Change;
use crate::cells::cell::take_number;
use crate::cells::key::{Key, Table, key};
use crate::tables::Tables;

impl Singles for Tables {
    fn single(&self, single: Single) -> PortFuture<'_, Option<Bytes>> {
        let key = key_of(&single);
        Box::pin(async move { self.cells.fetch(move |view| view.get(&key)).await })
    }

    fn put_single(
        &self,
        single: Single,
        value: Bytes,
        expected: Option<Bytes>,
    ) -> PortFuture<'_, bool> {
        let decide = move |stored: Option<&Bytes>| {
            // The repeat of a write whose answer was lost.
            if stored == Some(&value) {
                return Ok((Change::Keep, true));
            }
            Ok(if stored == expected.as_ref() {
                (Change::Set(value), true)
            } else {
                (Change::Keep, false)
            })
        };
        Box::pin(async move { self.cells.decide_one(key_of(&single), decide).await })
    }

    fn newest_epoch(&self) -> PortFuture<'_, u64> {
        Box::pin(async move {
            let stored = self.cells.fetch(|view| view.get(&epoch_key())).await?;
            stored.map_or(Ok(0), |stored| take_number(&mut &stored[..]))
        })
    }

    fn raise_epoch(&self, epoch: u64) -> PortFuture<'_, ()> {
        let decide = move |stored: Option<&Bytes>| {
            let before = stored.map_or(Ok(0), |stored| take_number(&mut &stored[..]))?;
            let value = Bytes::copy_from_slice(&epoch.to_be_bytes());
            let raised = (before < epoch).then_some(Change::Set(value));
            Ok((raised.unwrap_or(Change::Keep), ()))
        };
        Box::pin(async move { self.cells.decide_one(epoch_key(), decide).await })
    }
}

fn key_of(single: &Single) -> Key {
    match single {
        Single::Value(name) => key(Table::Values, &[b"value:", name.as_bytes()]),
        Single::Copy => key(Table::Values, &[b"copy"]),
    }
}

fn epoch_key() -> Key {
    key(Table::Values, &[b"epoch"])
}
