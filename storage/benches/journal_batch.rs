//! Durable appends of 1, 16 and 256 rows through the log's port, beside the
//! bare store with the same cells and one sync for each batch. The ratio is
//! what the promise "at least 0.7 of the bare store" is measured by: 1.43 is
//! 0.7 of its speed.

#[path = "../../benches/table.rs"]
mod table;

use std::sync::Arc;

use bytes::Bytes;
use fanfare_engine::row::LogRow;
use fanfare_engine::secret::Fingerprint;
use fanfare_protocol::limits::JOURNAL_BYTES_MAX;
use fanfare_protocol::{ConversationId, Limits};
use fanfare_storage::Embedded;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use table::Table;

const LOG: ConversationId = ConversationId(uuid::Uuid::from_u128(1));
/// A message of 200 bytes, encoded.
const ENTRY_BYTES: usize = 300;

fn rows(first: u64, count: u64) -> Arc<[LogRow]> {
    let row = |seq| LogRow {
        conversation: LOG,
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

/// One batch of the bare store, with a sync.
fn bare(database: &Database, cells: &Keyspace, first: u64, count: u64) {
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    for seq in first..first + count {
        // As many bytes as a row takes with its columns.
        let mut key = [0; 32];
        key[24..].copy_from_slice(&seq.to_be_bytes());
        batch.insert(cells, &key[..], &[0x5A; ENTRY_BYTES + 96][..]);
    }
    assert!(batch.commit().is_ok(), "the bare store writes");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Beside the build, not in a folder that may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let database = Database::builder(folder.path().join("bare"))
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .cache_size(Limits::default().store_cache_bytes)
        .open()?;
    let cells = database.keyspace("cells", KeyspaceCreateOptions::default)?;
    let store = Embedded::open(&folder.path().join("ours"), &Limits::default())?;
    let log = store.ports().log;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (mut bare_seq, mut our_seq) = (1, 1);
    for count in [1, 16, 256] {
        Table::new("journal batch: a row")
            .case(format!("bare store, {count} a sync"), count, || {
                bare(&database, &cells, bare_seq, count);
                bare_seq += count;
            })
            .case(format!("Log::append, {count} a batch"), count, || {
                let written = runtime.block_on(log.append(1, rows(our_seq, count)));
                assert!(written.is_ok(), "{written:?}");
                our_seq += count;
            })
            .print();
    }
    Ok(())
}
