//! Durable appends on a CQL store, through one room and through 500, beside
//! single inserts one after another, and beside the embedded store. Needs a
//! server: `FANFARE_CASSANDRA=host:port`. The promise "through one room at
//! least 25 × sequential single inserts" is a ratio of 0.04.

#[path = "../../benches/table.rs"]
mod table;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fanfare_engine::port::Log;
use fanfare_engine::row::LogRow;
use fanfare_engine::secret::Fingerprint;
use fanfare_protocol::limits::BUCKET_ROWS;
use fanfare_protocol::{ConversationId, Limits};
use fanfare_storage::Embedded;
use fanfare_storage::cql::{Cql, CqlOptions};
use futures_util::future::join_all;
use table::Table;
use tokio::runtime::Runtime;

/// A message of 200 bytes, encoded.
const ENTRY_BYTES: usize = 300;
const ROOMS: u64 = 500;
/// Rows that gather in each of many rooms while one append is under way.
const GATHERED: u64 = 8;

type Logs = Arc<dyn Log>;

/// Rooms that append, each one batch at a time, as rooms do.
struct Rooms {
    runtime: Runtime,
    log: Logs,
    /// The last seq of each.
    heads: Vec<AtomicU64>,
    /// Ids of different stores and cases differ.
    first: u128,
}

impl Rooms {
    fn new(log: &Logs, count: u64, first: u128) -> std::io::Result<Self> {
        Ok(Self {
            runtime: Runtime::new()?,
            log: Arc::clone(log),
            heads: (0..count).map(|_| AtomicU64::new(0)).collect(),
            first,
        })
    }

    /// Every room appends `count` rows at once, and all are waited for.
    fn append(&self, count: u64) {
        let appends = self
            .heads
            .iter()
            .zip(self.first..)
            .map(|(head, room)| async move {
                let next = head.load(Ordering::Relaxed) + 1;
                // A batch stays within a bucket.
                let left = BUCKET_ROWS - (next - 1) % BUCKET_ROWS;
                let first = if left < count { next + left } else { next };
                head.store(first + count - 1, Ordering::Relaxed);
                self.log.append(1, rows(room, first, count)).await
            });
        let done = self.runtime.block_on(join_all(appends));
        let failed: Vec<_> = done.iter().filter_map(|done| done.as_ref().err()).collect();
        let (count, first) = (failed.len(), failed.first());
        assert!(failed.is_empty(), "{count} appends failed: {first:?}");
    }
}

fn rows(room: u128, first: u64, count: u64) -> Arc<[LogRow]> {
    let row = |seq| LogRow {
        conversation: ConversationId(uuid::Uuid::from_u128(room)),
        seq,
        epoch: 1,
        mno: seq,
        ano: 0,
        key: Some(Fingerprint([1; 16])),
        request: Some(Fingerprint([2; 16])),
        entry: Bytes::from(vec![0x5A; ENTRY_BYTES]),
        state: Bytes::new(),
    };
    (first..first + count).map(row).collect()
}

/// Rows of a full batch.
fn full() -> u64 {
    let limits = Limits::default();
    let row: usize = rows(1, 1, 1).iter().map(LogRow::weight_bytes).sum();
    (limits.append_bytes_max / row).min(limits.append_rows_max) as u64
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Ok(node) = std::env::var("FANFARE_CASSANDRA") else {
        let why = "SKIPPED: cql_append: FANFARE_CASSANDRA=host:port names no server\n";
        std::io::stderr().write_all(why.as_bytes())?;
        return Ok(());
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let runtime = Runtime::new()?;
    let options = CqlOptions::new(vec![node], format!("bench_{since}"));
    let cql = runtime.block_on(Cql::open(&options))?;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let embedded = Embedded::open(folder.path(), &Limits::default())?;
    let full = full();
    let rooms = |log: &Logs, count, case: u128| Rooms::new(log, count, case << 64);
    let (on_cql, on_disk) = (cql.ports().log, embedded.ports().log);
    let single = rooms(&on_cql, 1, 1)?;
    let cases = [
        ("CQL", rooms(&on_cql, 1, 2)?, rooms(&on_cql, ROOMS, 3)?),
        (
            "embedded",
            rooms(&on_disk, 1, 2)?,
            rooms(&on_disk, ROOMS, 3)?,
        ),
    ];
    let mut table = Table::new("append: a row").case("CQL, single inserts in turn", 1, || {
        single.append(1);
    });
    for (store, one, many) in &cases {
        table = table
            .case(format!("{store}, one room, {full} a batch"), full, || {
                one.append(full);
            })
            .case(format!("{store}, {ROOMS} rooms, 1 a batch"), ROOMS, || {
                many.append(1);
            })
            .case(
                format!("{store}, {ROOMS} rooms, {GATHERED} a batch"),
                ROOMS * GATHERED,
                || many.append(GATHERED),
            );
    }
    table.print();
    Ok(())
}
