//! Rows of a log.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_engine::effect::Set;
use fanfare_engine::port::{Order, RowRange};
use fanfare_engine::row::LogRow;
use fanfare_protocol::limits::BUCKET_ROWS;
use fanfare_storage::Ports;

use crate::build::{all_rows, conversation, effects, row, rows};

pub async fn rows_come_back_as_written(ports: Ports) {
    let room = conversation(7);
    let mut written = rows(room, 1..=6, 3).to_vec();
    written[2].state = Bytes::from_static(b"state");
    written[3].entry = Bytes::new();
    ports.log.append(3, written.clone().into()).await.unwrap();
    assert_eq!(all_rows(&*ports.log, room).await, written);
}

pub async fn ranges_limits_and_orders(ports: Ports) {
    let room = conversation(7);
    ports.log.append(1, rows(room, 1..=300, 1)).await.unwrap();
    let seqs = async |from, to, limit, order| {
        let conversation = room;
        let range = RowRange {
            conversation,
            from,
            to,
            limit,
            order,
        };
        let rows = ports.log.rows(range).await.unwrap();
        rows.iter().map(|row| row.seq).collect::<Vec<_>>()
    };
    use Order::{Ascending, Descending};
    assert_eq!(
        seqs(254, 258, 9, Ascending).await,
        [254, 255, 256, 257, 258]
    );
    assert_eq!(seqs(254, 258, 2, Ascending).await, [254, 255]);
    assert_eq!(seqs(254, 258, 2, Descending).await, [258, 257]);
    assert_eq!(seqs(1, u64::MAX, 1, Descending).await, [300]);
    assert_eq!(seqs(0, 2, 9, Ascending).await, [1, 2]);
    assert_eq!(seqs(300, 300, 9, Descending).await, [300]);
    assert!(seqs(301, u64::MAX, 9, Ascending).await.is_empty());
    assert!(seqs(5, 4, 9, Ascending).await.is_empty());
    assert!(seqs(5, 4, 9, Descending).await.is_empty());
    assert!(seqs(1, 9, 0, Ascending).await.is_empty());
}

pub async fn logs_do_not_touch(ports: Ports) {
    // Neighbours in key order, with the largest seqs between them.
    let (low, high) = (conversation(7), conversation(8));
    let last = (1 << 40) - 1;
    ports
        .log
        .append(1, [row(low, last, 1)].into())
        .await
        .unwrap();
    ports.log.append(1, rows(high, 1..=2, 1)).await.unwrap();
    // Not from 1: a log is dense, and a store need not search through a hole.
    let range = RowRange {
        conversation: low,
        from: last,
        to: u64::MAX,
        limit: 9,
        order: Order::Ascending,
    };
    assert_eq!(ports.log.rows(range).await.unwrap().len(), 1);
    assert_eq!(all_rows(&*ports.log, high).await.len(), 2);
    assert!(all_rows(&*ports.log, conversation(9)).await.is_empty());
}

pub async fn a_later_epoch_wins_and_a_late_write_loses(ports: Ports) {
    let room = conversation(7);
    ports.log.append(2, rows(room, 1..=3, 2)).await.unwrap();
    // What a fenced owner still had on its way.
    ports.log.append(1, rows(room, 2..=5, 1)).await.unwrap();
    let epochs = async || {
        let rows = all_rows(&*ports.log, room).await;
        rows.iter().map(|row| row.epoch).collect::<Vec<_>>()
    };
    assert_eq!(epochs().await, [2, 2, 2, 1, 1]);
    ports.log.append(3, rows(room, 4..=4, 3)).await.unwrap();
    assert_eq!(epochs().await, [2, 2, 2, 3, 1]);
}

pub async fn a_repeat_is_harmless(ports: Ports) {
    let room = conversation(7);
    let written = rows(room, 1..=3, 1);
    ports.log.append(1, Arc::clone(&written)).await.unwrap();
    let state = Set::State {
        target: 2,
        state: Bytes::from_static(b"edited"),
    };
    let emptied = Set::Emptied {
        target: 3,
        entry: Bytes::from_static(b"empty"),
    };
    let changes = effects(room, 1, vec![(4, state), (5, emptied)]);
    ports.log.apply(changes).await.unwrap();
    let before = all_rows(&*ports.log, room).await;
    ports.log.append(1, written).await.unwrap();
    assert_eq!(all_rows(&*ports.log, room).await, before);
    assert_eq!(before[1].state, "edited");
    assert_eq!(before[2].entry, "empty");
}

pub async fn a_redo_brings_state_along(ports: Ports) {
    let room = conversation(7);
    let edit = |epoch, text: &'static str| {
        let state = Bytes::from_static(text.as_bytes());
        effects(room, epoch, vec![(3, Set::State { target: 1, state })])
    };
    ports.log.append(1, rows(room, 1..=2, 1)).await.unwrap();
    ports.log.apply(edit(1, "by the first")).await.unwrap();
    // A takeover writes rows again as read, under its own epoch.
    let read: Arc<[LogRow]> = all_rows(&*ports.log, room).await.into();
    ports.log.append(2, Arc::clone(&read)).await.unwrap();
    assert_eq!(all_rows(&*ports.log, room).await, &read[..]);
    // What the first owner still had on its way loses, on rows that had a
    // state and on rows that had none.
    ports.log.apply(edit(1, "late")).await.unwrap();
    let state = Bytes::from_static(b"late");
    let late = effects(room, 1, vec![(9, Set::State { target: 2, state })]);
    ports.log.apply(late).await.unwrap();
    assert_eq!(all_rows(&*ports.log, room).await, &read[..]);
    // The redo of the effect wins.
    ports.log.apply(edit(2, "again")).await.unwrap();
    assert_eq!(all_rows(&*ports.log, room).await[0].state, "again");
}

pub async fn a_bucket_is_no_border(ports: Ports) {
    let room = conversation(7);
    let (last, first) = (BUCKET_ROWS, BUCKET_ROWS + 1);
    let appended = rows(room, last..=last, 1);
    ports.log.append(1, appended).await.unwrap();
    let appended = rows(room, first..=first, 1);
    ports.log.append(1, appended).await.unwrap();
    let rows = all_rows(&*ports.log, room).await;
    let seqs: Vec<_> = rows.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [last, first]);
}
