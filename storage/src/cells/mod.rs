//! The seam under all ports: an ordered map of cells that takes requests
//! whole, decides compare-and-set in order, and reads a consistent view.
//! Two stores fill it: [`memory`] and [`embedded`].
//!
//! **Invariant:** what stands above this seam uses no more atomicity than a
//! CQL server gives (ARCHITECTURE §6); `steps_tests.rs` takes it away.

pub(crate) mod cell;
mod committer;
pub(crate) mod embedded;
pub(crate) mod key;
pub(crate) mod load;
pub(crate) mod memory;
mod queue;
mod readers;
mod stage;

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use fanfare_engine::port::{Order, PortFuture, StoreError};
use parking_lot::Mutex;

use cell::Column;
use key::Key;

/// An ordered map of cells.
pub(crate) trait Cells: Send + Sync {
    /// Carries out `work` as one. Durable when it returns.
    fn commit(&self, work: Work) -> PortFuture<'_, ()>;

    /// Runs `job` on a consistent view, off the runtime's workers where
    /// reading may block.
    fn read(&self, job: Job) -> PortFuture<'_, ()>;

    /// Why writes are refused, if they are.
    fn ready(&self) -> Result<(), String>;
}

/// What to carry out.
pub(crate) enum Work {
    /// Plain writes: the later timestamp wins.
    Write(Vec<Write>),
    /// Compare and set: `decision` sees the values of `keys` and says what
    /// becomes of each. Requests are decided one after another.
    Decide {
        /// Which cells.
        keys: Vec<Key>,
        /// Their values to their changes, in the order of `keys`.
        decision: Decision,
    },
}

/// See [`Work::Decide`].
pub(crate) type Decision =
    Box<dyn FnOnce(&[Option<Bytes>]) -> Result<Vec<Change>, StoreError> + Send>;

/// One plain write.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// Merges columns into a cell.
    Put {
        /// Which cell.
        key: Key,
        /// What.
        columns: Vec<Column>,
    },
    /// Removes a cell; only for tables in which nobody compares timestamps.
    Remove {
        /// Which cell.
        key: Key,
    },
}

/// What a decision does to one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    Keep,
    /// Another value.
    Set(Bytes),
    /// No value.
    Remove,
}

/// A read.
pub(crate) type Job = Box<dyn FnOnce(&dyn View) -> Result<(), StoreError> + Send>;

/// A consistent view of all cells.
pub(crate) trait View {
    /// One cell.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// How many cells there are, about: overwritten and removed ones may count.
    fn cells_about(&self) -> u64;

    /// Visits the cells of a range in order until `visit` breaks.
    fn scan(&self, range: Range, visit: Visit<'_>) -> Result<(), StoreError>;
}

/// Sees key and cell.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>;

/// A range of keys.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    /// Start.
    pub(crate) from: Bound<Key>,
    /// End.
    pub(crate) to: Bound<Key>,
    /// Which way.
    pub(crate) order: Order,
}

impl Range {
    /// All keys that begin with `prefix`, ascending, behind `after`.
    pub(crate) fn of_ids(prefix: &[u8], after: Option<&[u8; 16]>) -> Self {
        Self {
            from: key::start_behind(prefix, after),
            to: key::end_of(prefix),
            order: Order::Ascending,
        }
    }

    /// Whether no key can lie in it (ordered maps panic when asked).
    fn is_empty(&self) -> bool {
        match (&self.from, &self.to) {
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
            | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        }
    }
}

impl dyn Cells {
    /// Carries out plain writes.
    pub(crate) async fn write(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        self.commit(Work::Write(writes)).await
    }

    /// Reads something.
    pub(crate) async fn fetch<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn View) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = Answer::default();
        let filled = answer.clone();
        self.read(Box::new(move |view| filled.fill(read(view)?)))
            .await?;
        answer.take()
    }

    /// Decides something; the answer is given only once what it rests on is
    /// durable.
    pub(crate) async fn decide<T: Send + 'static>(
        &self,
        keys: Vec<Key>,
        decide: impl FnOnce(&[Option<Bytes>]) -> Result<(Vec<Change>, T), StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = Answer::default();
        let filled = answer.clone();
        let decision: Decision = Box::new(move |values| {
            let (changes, said) = decide(values)?;
            filled.fill(said).map(|()| changes)
        });
        self.commit(Work::Decide { keys, decision }).await?;
        answer.take()
    }

    /// Decides one cell.
    pub(crate) async fn decide_one<T: Send + 'static>(
        &self,
        key: Key,
        decide: impl FnOnce(Option<&Bytes>) -> Result<(Change, T), StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.decide(vec![key], move |values| {
            let (change, said) = decide(values.first().and_then(Option::as_ref))?;
            Ok((vec![change], said))
        })
        .await
    }
}

/// What a job or decision found, on its way back to who asked.
struct Answer<T>(Arc<Mutex<Option<T>>>);

impl<T> Answer<T> {
    fn fill(&self, found: T) -> Result<(), StoreError> {
        *self.0.lock() = Some(found);
        Ok(())
    }

    fn take(&self) -> Result<T, StoreError> {
        let unanswered = || StoreError::Unavailable("the store gave no answer".into());
        self.0.lock().take().ok_or_else(unanswered)
    }
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Answer<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Work {
    /// Bytes it adds to a batch, about.
    fn weight_bytes(&self) -> usize {
        match self {
            Self::Write(writes) => writes.iter().map(Write::weight_bytes).sum(),
            Self::Decide { keys, .. } => keys.iter().map(|key| 256 + key.len()).sum(),
        }
    }
}

impl Write {
    fn weight_bytes(&self) -> usize {
        match self {
            Self::Put { key, columns } => {
                key.len() + columns.iter().map(|c| 24 + c.value.len()).sum::<usize>()
            }
            Self::Remove { key } => key.len(),
        }
    }
}
