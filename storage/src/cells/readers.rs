//! The store's own reading threads: a read that waits for the disk stalls
//! one of them and never a worker of the runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use fanfare_engine::port::StoreError;
use tokio::sync::oneshot;

use super::queue::{Gather, Queue, Taken};
use super::{Job, View};

/// One caller's read.
pub(super) struct Read {
    /// What.
    pub(super) job: Job,
    /// Where the outcome goes.
    pub(super) reply: oneshot::Sender<Result<(), StoreError>>,
}

/// Reads until the queue is closed and empty; `view` opens a view.
pub(super) fn run<V: View>(queue: &Queue<Read>, view: impl Fn() -> V) {
    while let Taken::Items(reads) = queue.take(1, usize::MAX, None, || Gather::NOT) {
        for read in reads {
            carry_out(read, &view());
        }
    }
}

fn carry_out(read: Read, view: &dyn View) {
    if read.reply.is_closed() {
        return;
    }
    let begun = Instant::now();
    // A job that panics is a bug of its port; the thread serves the others.
    let outcome = catch_unwind(AssertUnwindSafe(|| (read.job)(view)))
        .unwrap_or_else(|_| Err(StoreError::Unavailable("a read panicked".into())));
    metrics::counter!("fanfare_store_reads_total").increment(1);
    metrics::histogram!("fanfare_store_read_seconds").record(begun.elapsed().as_secs_f64());
    drop(read.reply.send(outcome));
}
