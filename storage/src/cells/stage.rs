//! Staging: what a run of requests makes of the cells they touch, before
//! any of it is written. Both stores decide here, so they decide alike.

use std::collections::HashMap;

use bytes::Bytes;
use fanfare_engine::port::StoreError;

use super::cell::{is_later, merge};
use super::key::Key;
use super::{Change, Work, Write};

/// Reads a cell as it is stored.
pub(super) type Base<'a> = &'a dyn Fn(&[u8]) -> Result<Option<Bytes>, StoreError>;

/// Cells as they will be.
pub(super) struct Stage<'a> {
    base: Base<'a>,
    cells: HashMap<Key, Staged>,
}

struct Staged {
    value: Option<Bytes>,
    is_changed: bool,
}

impl<'a> Stage<'a> {
    /// Nothing staged yet.
    pub(super) fn new(base: Base<'a>) -> Self {
        Self {
            base,
            cells: HashMap::new(),
        }
    }

    /// Stages a request, wholly or not at all; says whether it rests on a
    /// change, its own or one staged before it.
    pub(super) fn add(&mut self, work: Work) -> Result<bool, StoreError> {
        match work {
            Work::Write(writes) => self.add_writes(writes),
            Work::Decide { keys, decision } => {
                for key in &keys {
                    self.load(key)?;
                }
                let values: Vec<_> = keys.iter().map(|key| self.value(key).cloned()).collect();
                let changes = decision(&values)?;
                let mut is_changed = false;
                for (key, change) in keys.into_iter().zip(changes) {
                    is_changed |= match change {
                        Change::Keep => self.cells.get(&key).is_some_and(|cell| cell.is_changed),
                        Change::Set(value) => self.set(key, Some(value)),
                        Change::Remove => self.set(key, None),
                    };
                }
                Ok(is_changed)
            }
        }
    }

    /// What is to be written.
    pub(super) fn into_changes(self) -> impl Iterator<Item = (Key, Option<Bytes>)> {
        let changed = self.cells.into_iter().filter(|(_, cell)| cell.is_changed);
        changed.map(|(key, cell)| (key, cell.value))
    }

    fn add_writes(&mut self, writes: Vec<Write>) -> Result<bool, StoreError> {
        // Reading and merging may fail, setting may not: merge all first.
        let mut merged: HashMap<Key, Option<Bytes>> = HashMap::with_capacity(writes.len());
        for write in writes {
            match write {
                Write::Put { key, columns } => {
                    let cell = match merged.get(&key) {
                        Some(value) => merge(value.as_deref(), &columns)?,
                        None => {
                            self.load(&key)?;
                            merge(self.value(&key).map(|value| &value[..]), &columns)?
                        }
                    };
                    merged.insert(key, Some(cell));
                }
                Write::Remove { key, stamp } => {
                    let cell = match merged.get(&key) {
                        Some(value) => value.clone(),
                        None => {
                            self.load(&key)?;
                            self.value(&key).cloned()
                        }
                    };
                    let stays = match &cell {
                        Some(cell) => is_later(cell, stamp)?,
                        None => false,
                    };
                    merged.insert(key, cell.filter(|_| stays));
                }
            }
        }
        let mut is_changed = false;
        for (key, value) in merged {
            is_changed |= self.set(key, value);
        }
        Ok(is_changed)
    }

    fn load(&mut self, key: &[u8]) -> Result<(), StoreError> {
        if !self.cells.contains_key(key) {
            let value = (self.base)(key)?;
            let staged = Staged {
                value,
                is_changed: false,
            };
            self.cells.insert(key.to_vec(), staged);
        }
        Ok(())
    }

    fn value(&self, key: &[u8]) -> Option<&Bytes> {
        self.cells.get(key)?.value.as_ref()
    }

    fn set(&mut self, key: Key, value: Option<Bytes>) -> bool {
        let staged = self.cells.entry(key).or_insert(Staged {
            value: None,
            is_changed: false,
        });
        if staged.value == value {
            // A repeat of something staged before it waits for the same batch.
            return staged.is_changed;
        }
        staged.value = value;
        staged.is_changed = true;
        true
    }
}
