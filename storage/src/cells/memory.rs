//! Cells in memory, for tests: gone with the process.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use fanfare_engine::port::{Order, PortFuture, StoreError};
use parking_lot::RwLock;

use super::key::Key;
use super::stage::Stage;
use super::{Cells, Job, Range, View, Visit, Work};

/// An ordered map behind a lock.
#[derive(Default)]
pub(crate) struct MemoryCells {
    map: RwLock<BTreeMap<Key, Bytes>>,
}

impl Cells for MemoryCells {
    fn commit(&self, work: Work) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let mut map = self.map.write();
            let base = |key: &[u8]| Ok(map.get(key).cloned());
            let mut stage = Stage::new(&base);
            stage.add(work)?;
            let changes: Vec<_> = stage.into_changes().collect();
            for (key, value) in changes {
                match value {
                    Some(value) => map.insert(key, value),
                    None => map.remove(&key),
                };
            }
            Ok(())
        })
    }

    fn read(&self, job: Job) -> PortFuture<'_, ()> {
        Box::pin(async move { job(&*self.map.read()) })
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

impl View for BTreeMap<Key, Bytes> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.get(key).cloned())
    }

    fn cells_about(&self) -> u64 {
        self.len() as u64
    }

    fn scan(&self, range: Range, visit: Visit<'_>) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let bounds: (Bound<Key>, Bound<Key>) = (range.from, range.to);
        let mut cells = self.range(bounds);
        let mut next = || match range.order {
            Order::Ascending => cells.next(),
            Order::Descending => cells.next_back(),
        };
        while let Some((key, cell)) = next() {
            if visit(key, cell)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}
