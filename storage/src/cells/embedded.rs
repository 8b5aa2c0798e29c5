//! Cells in fjall: one keyspace, one committer, a few readers. Only these
//! threads hold the database; what callers hold are the two queues, so that
//! the folder is free once the threads were joined.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfare_engine::port::{Order, PortFuture, StoreError};
use fanfare_protocol::Limits;
use fanfare_protocol::limits::{
    COMMITTER_QUEUE_BYTES_MAX, COMMITTER_QUEUE_MAX, JOURNAL_BYTES_MAX, STORE_LOOK_MS,
    STORE_READERS, STORE_READS_WAITING_MAX,
};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::committer::{self, Disk, Health, Request};
use super::key::Key;
use super::queue::{Queue, Refused};
use super::readers::{self, Read};
use super::{Cells, Job, Range, View, Visit, Work};

/// Opens or creates the database and its one keyspace.
pub(super) fn database(folder: &Path, limits: &Limits) -> fjall::Result<(Database, Keyspace)> {
    let database = Database::builder(folder)
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .cache_size(limits.store_cache_bytes)
        .open()?;
    let fresh = || KeyspaceCreateOptions::default().max_memtable_size(limits.store_memtable_bytes);
    let keyspace = database.keyspace("cells", fresh)?;
    Ok((database, keyspace))
}

/// Cells in a folder.
pub(crate) struct EmbeddedCells {
    requests: Arc<Queue<Request>>,
    reads: Arc<Queue<Read>>,
    health: Arc<Health>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Why the cells could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum CellsError {
    /// The database refused.
    #[error("opening the database")]
    Database(#[from] fjall::Error),
    /// No thread could be started.
    #[error("starting a thread of the store")]
    Thread(#[from] std::io::Error),
}

impl EmbeddedCells {
    /// Opens or creates the cells in `folder`; `lock` is let go of last.
    pub(crate) fn open(
        folder: &Path,
        limits: &Limits,
        lock: impl Send + 'static,
    ) -> Result<Self, CellsError> {
        let (database, keyspace) = database(folder, limits)?;
        let requests = Queue::new(COMMITTER_QUEUE_MAX, COMMITTER_QUEUE_BYTES_MAX);
        let cells = Self {
            requests: Arc::new(requests),
            reads: Arc::new(Queue::new(STORE_READS_WAITING_MAX, usize::MAX)),
            health: Arc::new(Health::new()),
            threads: Mutex::default(),
        };
        for number in 0..STORE_READERS {
            let (database, keyspace) = (database.clone(), keyspace.clone());
            let reads = Arc::clone(&cells.reads);
            cells.start(&format!("fanfare-read-{number}"), move || {
                readers::run(&reads, || FjallView {
                    snapshot: database.snapshot(),
                    keyspace: keyspace.clone(),
                });
            })?;
        }
        let (requests, health) = (Arc::clone(&cells.requests), Arc::clone(&cells.health));
        // Last of the threads: `close` joins in this order.
        cells.start("fanfare-commit", move || {
            let mut disk = FjallDisk {
                database,
                keyspace,
                told: None,
            };
            committer::run(&requests, &health, &mut disk);
            drop(disk);
            drop(lock);
        })?;
        Ok(cells)
    }

    /// Carries out what waits, takes nothing more, and gives the folder
    /// free. Blocks until then; a second call does nothing.
    pub(crate) fn close(&self) {
        self.reads.close();
        self.requests.close();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the embedded store had panicked");
            }
        }
    }

    fn start(&self, name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        self.threads.lock().push(thread.spawn(run)?);
        Ok(())
    }
}

impl Drop for EmbeddedCells {
    fn drop(&mut self) {
        self.close();
    }
}

impl Cells for EmbeddedCells {
    fn commit(&self, work: Work) -> PortFuture<'_, ()> {
        Box::pin(async move {
            self.health.check().map_err(StoreError::Unavailable)?;
            let (reply, outcome) = oneshot::channel();
            let bytes = work.weight_bytes();
            let waiting = self
                .requests
                .push(bytes, Request { work, reply })
                .map_err(refused)?;
            metrics::gauge!("fanfare_store_queue_length").set(waiting as f64);
            outcome.await.unwrap_or_else(|_| {
                let died = "the committer died with it in hand";
                Err(StoreError::OutcomeUnknown(died.into()))
            })
        })
    }

    fn read(&self, job: Job) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let (reply, outcome) = oneshot::channel();
            self.reads.push(0, Read { job, reply }).map_err(refused)?;
            outcome
                .await
                .unwrap_or_else(|_| Err(StoreError::Unavailable("the read was dropped".into())))
        })
    }

    fn ready(&self) -> Result<(), String> {
        self.health.check()
    }
}

fn refused(refused: Refused) -> StoreError {
    match refused {
        Refused::Full => {
            metrics::counter!("fanfare_store_overloaded_total").increment(1);
            StoreError::Overloaded
        }
        Refused::Closed => StoreError::Unavailable("the store is closed".into()),
    }
}

struct FjallDisk {
    database: Database,
    keyspace: Keyspace,
    /// When its memory was last told.
    told: Option<Instant>,
}

impl FjallDisk {
    /// Tells, once a second at most, what the store holds in memory.
    fn tell(&mut self) {
        let every = Duration::from_millis(STORE_LOOK_MS);
        if self.told.is_some_and(|told| told.elapsed() < every) {
            return;
        }
        self.told = Some(Instant::now());
        let (cache, unflushed) = (
            self.database.cache_size(),
            self.database.write_buffer_size(),
        );
        metrics::gauge!("fanfare_store_cache_bytes").set(cache as f64);
        metrics::gauge!("fanfare_store_unflushed_bytes").set(unflushed as f64);
    }
}

impl Disk for FjallDisk {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.keyspace.get(key).map_err(unreadable)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn commit(&mut self, changes: Vec<(Key, Option<Bytes>)>) -> Result<(), String> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, &value[..]),
                None => batch.remove(&self.keyspace, key),
            }
        }
        self.tell();
        batch.commit().map_err(|error| format!("commit: {error}"))
    }

    fn probe(&mut self) -> Result<(), String> {
        self.tell();
        // Nothing waits in the journal's buffer: this asks only whether a
        // background thread met an error since the last batch.
        let probed = self.database.persist(PersistMode::Buffer);
        probed.map_err(|error| format!("background work: {error}"))
    }
}

struct FjallView {
    snapshot: Snapshot,
    keyspace: Keyspace,
}

impl View for FjallView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.snapshot.get(&self.keyspace, key).map_err(unreadable)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn cells_about(&self) -> u64 {
        self.keyspace.approximate_len() as u64
    }

    fn scan(&self, range: Range, visit: Visit<'_>) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let bounds = (range.from, range.to);
        let mut cells = self.snapshot.range::<Key, _>(&self.keyspace, bounds);
        let mut next = || match range.order {
            Order::Ascending => cells.next(),
            Order::Descending => cells.next_back(),
        };
        while let Some(cell) = next() {
            let (key, value) = cell.into_inner().map_err(unreadable)?;
            if visit(&key, &value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn unreadable(error: fjall::Error) -> StoreError {
    StoreError::Unavailable(format!("read: {error}"))
}
