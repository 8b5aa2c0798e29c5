//! More than the committer's queue may hold.

use bytes::Bytes;
use fanfare_engine::port::StoreError;
use fanfare_protocol::Limits;
use fanfare_protocol::limits::COMMITTER_QUEUE_BYTES_MAX;
use fanfare_storage::Embedded;
use futures_util::future::join_all;

use crate::build::{all_rows, conversation, row};

const ROW_BYTES: usize = 1024 * 1024;

#[tokio::test]
async fn what_does_not_fit_is_refused_and_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path(), &Limits::default()).unwrap();
    let ports = store.ports();
    let entry = Bytes::from(vec![7; ROW_BYTES]);
    let rows = COMMITTER_QUEUE_BYTES_MAX / ROW_BYTES * 2;
    let appends = (1..=rows as u64).map(|seq| {
        let mut row = row(conversation(7), seq, 1);
        row.entry = entry.clone();
        ports.log.append(1, [row].into())
    });
    let outcomes = join_all(appends).await;
    let stored = all_rows(&*ports.log, conversation(7)).await;
    let stored: Vec<u64> = stored.iter().map(|row| row.seq).collect();
    let mut accepted = Vec::new();
    for (seq, outcome) in (1..).zip(&outcomes) {
        match outcome {
            Ok(()) => accepted.push(seq),
            Err(error) => assert_eq!(*error, StoreError::Overloaded),
        }
    }
    assert_eq!(stored, accepted);
    assert!(accepted.len() < rows, "something was refused");
    assert_eq!(ports.readiness.ready(), Ok(()));
    // It goes on as if nothing had been.
    let next = row(conversation(8), 1, 1);
    ports.log.append(1, [next].into()).await.unwrap();
}
