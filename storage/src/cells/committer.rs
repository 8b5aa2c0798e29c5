//! The one thread that writes: it takes what waits, decides it in order,
//! and commits it as one batch with one sync **on the batch** (syncing
//! later would show rows that a power cut takes back).
//!
//! After a write error it refuses everything for good: what the journal
//! holds is then unknown until the store is opened again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfare_engine::port::StoreError;
use fanfare_protocol::limits::{
    COMMIT_BYTES_MAX, COMMIT_GATHER_MS_MAX, COMMIT_STALLED_MS, COMMITTER_QUEUE_MAX, STORE_PROBE_MS,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Work;
use super::key::Key;
use super::queue::{Gather, Queue, Taken};
use super::stage::Stage;

/// One caller's request.
pub(super) struct Request {
    /// What.
    pub(super) work: Work,
    /// Where the outcome goes.
    pub(super) reply: oneshot::Sender<Result<(), StoreError>>,
}

/// Where batches go.
pub(super) trait Disk: Send {
    /// Reads a cell as committed.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Writes a batch, durable when it returns.
    fn commit(&mut self, changes: Vec<(Key, Option<Bytes>)>) -> Result<(), String>;

    /// Whether a batch would be taken.
    fn probe(&mut self) -> Result<(), String>;
}

/// Whether the committer is well, seen from outside.
pub(super) struct Health {
    failure: Mutex<Option<String>>,
    started: Instant,
    busy_since_ms: AtomicU64,
}

const IDLE: u64 = u64::MAX;

impl Health {
    /// Well.
    pub(super) fn new() -> Self {
        Self {
            failure: Mutex::new(None),
            started: Instant::now(),
            busy_since_ms: AtomicU64::new(IDLE),
        }
    }

    /// Why writes are refused, if they are.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(failure) = self.failure.lock().as_ref() {
            return Err(failure.clone());
        }
        let since = self.busy_since_ms.load(Ordering::Relaxed);
        if since != IDLE && self.now_ms().saturating_sub(since) > COMMIT_STALLED_MS {
            return Err("the committer does not come back from a batch".into());
        }
        Ok(())
    }

    fn fail(&self, failure: String) {
        let mut slot = self.failure.lock();
        if slot.is_none() {
            tracing::error!(failure, "embedded store refuses all writes from now on");
            *slot = Some(failure);
        }
    }

    fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// How long a batch lets more requests come.
///
/// A request that is alone waits for nobody. When others were under way during the
/// last batch, the next one waits until as many are there again, at most
/// [`COMMIT_GATHER_MS_MAX`]: a sync costs the processor as much for one row as for a
/// hundred.
struct Pace {
    /// Requests of the last batch and those that came meanwhile.
    under_way: usize,
    /// When the last batch ended.
    ended: Instant,
}

const GATHER_MAX: Duration = Duration::from_millis(COMMIT_GATHER_MS_MAX);

impl Pace {
    fn new() -> Self {
        Self {
            under_way: 0,
            ended: Instant::now(),
        }
    }

    /// For the batch whose first request is there `now`.
    fn gather(&self, now: Instant) -> Gather {
        if self.under_way < 2 || now.saturating_duration_since(self.ended) > GATHER_MAX {
            return Gather::NOT;
        }
        Gather {
            wanted: self.under_way,
            window: GATHER_MAX,
        }
    }

    /// A batch of `requests` ended `now`, when `waiting` others had come.
    fn learn(&mut self, requests: usize, waiting: usize, now: Instant) {
        self.under_way = requests + waiting;
        self.ended = now;
    }
}

/// Takes requests until the queue is closed and empty.
pub(super) fn run(queue: &Queue<Request>, health: &Health, disk: &mut dyn Disk) {
    let _guard = Guard { queue, health };
    let patience = Some(Duration::from_millis(STORE_PROBE_MS));
    let mut pace = Pace::new();
    loop {
        let gather = || pace.gather(Instant::now());
        match queue.take(COMMITTER_QUEUE_MAX, COMMIT_BYTES_MAX, patience, gather) {
            Taken::Items(requests) => {
                metrics::gauge!("fanfare_store_queue_length").set(queue.waiting() as f64);
                let count = requests.len();
                health
                    .busy_since_ms
                    .store(health.now_ms(), Ordering::Relaxed);
                commit(requests, health, disk);
                pace.learn(count, queue.waiting(), Instant::now());
                health.busy_since_ms.store(IDLE, Ordering::Relaxed);
            }
            Taken::Idle => {
                if let Err(failure) = disk.probe() {
                    health.fail(failure);
                }
            }
            Taken::Closed => return,
        }
    }
}

fn commit(requests: Vec<Request>, health: &Health, disk: &mut dyn Disk) {
    if let Some(failure) = health.failure() {
        return refuse(requests, &failure);
    }
    let begun = Instant::now();
    let mut staged = Vec::with_capacity(requests.len());
    let changes: Vec<_> = {
        let base = |key: &[u8]| disk.get(key);
        let mut stage = Stage::new(&base);
        for request in requests {
            match stage.add(request.work) {
                Ok(is_changed) => staged.push((request.reply, is_changed)),
                Err(error) => answer(request.reply, Err(error)),
            }
        }
        stage.into_changes().collect()
    };
    metrics::histogram!("fanfare_store_batch_requests").record(staged.len() as f64);
    metrics::histogram!("fanfare_store_batch_cells").record(changes.len() as f64);
    let outcome = if changes.is_empty() {
        Ok(())
    } else {
        disk.commit(changes)
    };
    metrics::histogram!("fanfare_store_commit_seconds").record(begun.elapsed().as_secs_f64());
    if let Err(failure) = &outcome {
        health.fail(failure.clone());
    }
    for (reply, is_changed) in staged {
        answer(
            reply,
            match &outcome {
                Ok(()) => Ok(()),
                // The journal may hold the batch although the commit failed.
                Err(failure) if is_changed => Err(StoreError::OutcomeUnknown(failure.clone())),
                Err(failure) => Err(StoreError::Unavailable(failure.clone())),
            },
        );
    }
}

fn refuse(requests: Vec<Request>, failure: &str) {
    for request in requests {
        let refusal = StoreError::Unavailable(failure.to_owned());
        answer(request.reply, Err(refusal));
    }
}

/// A caller that went away wants no answer.
fn answer(reply: oneshot::Sender<Result<(), StoreError>>, outcome: Result<(), StoreError>) {
    drop(reply.send(outcome));
}

/// However the committer ends, nobody waits for it for ever. Requests it had
/// taken in hand lose their reply channel, which reads as unknown.
struct Guard<'a> {
    queue: &'a Queue<Request>,
    health: &'a Health,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let failure = if std::thread::panicking() {
            "the committer died"
        } else {
            "the store is closed"
        };
        if std::thread::panicking() {
            self.health.fail(failure.to_owned());
        } else {
            *self.health.failure.lock() = Some(failure.to_owned());
        }
        refuse(self.queue.close_and_drain(), failure);
    }
}

#[cfg(test)]
#[path = "committer_tests.rs"]
mod tests;
