//! The log on a store that merges cells, not rows: what reaches it late, in
//! part, or from somebody who has lost the log, on a real server.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_engine::effect::Set;
use fanfare_engine::port::{Order, RowRange};
use fanfare_engine::reader::{Unsettled, settled};
use fanfare_engine::room::{Adopted, Found, adopt};
use fanfare_engine::row::{EpochRow, HeadRow, LogRow};
use fanfare_engine::secret::Fingerprint;
use fanfare_protocol::limits::{
    BUCKET_ROWS, CQL_BATCH_BYTES_MAX, CQL_BATCH_STATEMENTS_MAX, CQL_PAGE_ROWS,
};
use fanfare_protocol::{ConversationId, Timestamp};
use fanfare_storage::Ports;

use crate::build::{all_rows, conversation, effects, note_epoch, row, rows};
use crate::cql::{run, run_beside};
use crate::cql_raw::{Raw, of_conversation};

async fn seqs(ports: &Ports, from: u64, to: u64, limit: usize, order: Order) -> Vec<u64> {
    let range = RowRange {
        conversation: conversation(7),
        from,
        to,
        limit,
        order,
    };
    let rows = ports.log.rows(range).await.unwrap();
    rows.iter().map(|row| row.seq).collect()
}

fn head(seq: u64, clean: u64) -> HeadRow {
    HeadRow {
        conversation: conversation(7),
        epoch: 1,
        seq,
        mno: seq,
        ano: 0,
        at: Timestamp(1000),
        clean,
    }
}

/// A log that begins at 7000, so that its first bucket need not be full.
async fn log_over_a_border(ports: &Ports) {
    let room = conversation(7);
    let first = rows(room, 7000..=BUCKET_ROWS, 1);
    assert!(first.len() > CQL_BATCH_STATEMENTS_MAX, "several batches");
    ports.log.append(1, first).await.unwrap();
    ports.log.put_head(1, head(BUCKET_ROWS, 0)).await.unwrap();
    let second = rows(room, BUCKET_ROWS + 1..=9000, 1);
    ports.log.append(1, second).await.unwrap();
}

#[test]
fn pages_go_on_over_the_border_of_a_bucket() {
    use Order::{Ascending, Descending};
    run(async |ports: Ports| {
        log_over_a_border(&ports).await;
        let up = |from, to: u64| (from..=to).collect::<Vec<_>>();
        let down = |from: u64, to| (to..=from).rev().collect::<Vec<_>>();
        let page = u64::try_from(CQL_PAGE_ROWS).unwrap();
        let all = usize::MAX;
        let last = BUCKET_ROWS;
        // From, to, limit; the first and the last that come.
        let upwards = [
            (7000, u64::MAX, all, 7000, 9000),
            (last - 1, last + 2, all, last - 1, last + 2),
            (last - 4, u64::MAX, 5, last - 4, last),
            (last - 4, u64::MAX, 6, last - 4, last + 1),
            (last, u64::MAX, 1, last, last),
            (last + 1, u64::MAX, 2, last + 1, last + 2),
            // A full page ends where the bucket does, one before, one behind.
            (last + 1 - page, u64::MAX, all, last + 1 - page, 9000),
            (last - page, u64::MAX, all, last - page, 9000),
            (last + 2 - page, u64::MAX, all, last + 2 - page, 9000),
        ];
        for (from, to, limit, first, end) in upwards {
            let found = seqs(&ports, from, to, limit, Ascending).await;
            assert_eq!(found, up(first, end), "{from} {to} {limit}");
        }
        let downwards = [
            // Nobody knows where it ends: the head row is a bucket behind.
            (7000, u64::MAX, all, 9000, 7000),
            (1, u64::MAX, 1, 9000, 9000),
            (1, u64::MAX, 809, 9000, last),
            (1, u64::MAX, 808, 9000, last + 1),
            (last, last + 1, all, last + 1, last),
            (1, last + 1, 2, last + 1, last),
            (1, last + page, all, last + page, 7000),
            (1, last + page + 1, all, last + page + 1, 7000),
            (1, last, 3, last, last - 2),
        ];
        for (from, to, limit, first, end) in downwards {
            let found = seqs(&ports, from, to, limit, Descending).await;
            assert_eq!(found, down(first, end), "{from} {to} {limit}");
        }
    });
}

#[test]
fn an_append_that_no_batch_takes_goes_in_several() {
    run(async |ports: Ports| {
        let room = conversation(7);
        let text = Bytes::from(vec![b'x'; 16 * 1024]);
        let long = |seq| LogRow {
            entry: text.clone(),
            ..row(room, seq, 1)
        };
        let written: Arc<[LogRow]> = (1..=200).map(long).collect();
        let bytes: usize = written.iter().map(LogRow::weight_bytes).sum();
        assert!(bytes > 3 * CQL_BATCH_BYTES_MAX);
        ports.log.append(1, Arc::clone(&written)).await.unwrap();
        assert_eq!(all_rows(&*ports.log, room).await, &*written);
    });
}

/// Every column small, or not there: whatever is merged into it shows.
fn small(seq: u64, epoch: u64) -> LogRow {
    LogRow {
        conversation: conversation(7),
        seq,
        epoch,
        mno: 0,
        ano: 0,
        key: None,
        request: None,
        entry: Bytes::new(),
        state: Bytes::new(),
    }
}

fn large(seq: u64, epoch: u64) -> LogRow {
    LogRow {
        mno: u64::from(u32::MAX),
        ano: u64::from(u32::MAX),
        key: Some(Fingerprint([0xff; 16])),
        request: Some(Fingerprint([0xff; 16])),
        entry: Bytes::from(vec![0xff; 4000]),
        state: Bytes::from(vec![0xff; 4000]),
        ..small(seq, epoch)
    }
}

fn state(target: u64, text: &'static str) -> Set {
    let state = Bytes::from_static(text.as_bytes());
    Set::State { target, state }
}

fn emptied(target: u64) -> Set {
    let entry = Bytes::from_static(b"emptied");
    Set::Emptied { target, entry }
}

#[test]
fn a_row_of_an_older_epoch_loses_with_every_column() {
    run_beside(async |ports: Ports, options| {
        let room = conversation(7);
        let raw = Raw::connect(&options).await;
        // The later epoch's row comes first, then last; then the other one is
        // the larger.
        let orders = [
            [(2, small(1, 2)), (1, large(1, 1))],
            [(1, large(2, 1)), (2, small(2, 2))],
            [(2, large(3, 2)), (1, small(3, 1))],
            [(1, small(4, 1)), (2, large(4, 2))],
        ];
        for order in &orders {
            for (epoch, row) in order {
                ports
                    .log
                    .append(*epoch, [row.clone()].into())
                    .await
                    .unwrap();
            }
        }
        let expected = [small(1, 2), small(2, 2), large(3, 2), large(4, 2)];
        assert_eq!(all_rows(&*ports.log, room).await, expected);
        // Effects of the older epoch lose too, whatever entry they are of.
        for target in 1..=4 {
            let late = vec![(900, state(target, "late")), (901, emptied(target))];
            ports.log.apply(effects(room, 1, late)).await.unwrap();
        }
        assert_eq!(all_rows(&*ports.log, room).await, expected);
        // No cell of the older epoch is left, and none is missing.
        let cells = "WRITETIME(epoch), WRITETIME(mno), WRITETIME(ano), WRITETIME(author_key), \
             WRITETIME(request), WRITETIME(entry), WRITETIME(state)";
        let read = format!(
            "SELECT {cells} FROM {{data}}.log WHERE conversation = {} AND bucket = 0",
            of_conversation(room)
        );
        let answer = raw.read(&read).await;
        type Times = (i64, i64, i64, i64, i64, i64, i64);
        let mut rows = 0;
        for (seq, times) in (1..).zip(answer.rows::<Times>().unwrap()) {
            let (a, b, c, d, e, f, g) = times.unwrap();
            let stamp = fanfare_engine::stamp::Stamp::new(2, seq).micros();
            assert_eq!([a, b, c, d, e, f, g], [stamp; 7]);
            rows += 1;
        }
        assert_eq!(rows, 4);
    });
}

async fn found(ports: &Ports) -> Found {
    let room = conversation(7);
    Found {
        head: ports.log.head(room).await.unwrap(),
        tail: all_rows(&*ports.log, room).await,
        epochs: ports.log.epochs(room).await.unwrap(),
    }
}

/// Seqs that the owner of this epoch adopts.
async fn adopted(ports: &Ports, epoch: u64) -> Vec<(u64, u64)> {
    let Adopted { rows, .. } = adopt(found(ports).await, epoch).unwrap();
    pairs(&rows)
}

/// Seqs that a reader shows who has heard of no head.
async fn shown(ports: &Ports) -> Result<Vec<(u64, u64)>, Unsettled> {
    let room = conversation(7);
    let rows = all_rows(&*ports.log, room).await;
    let epochs = ports.log.epochs(room).await.unwrap();
    settled(0, rows, &epochs).map(|rows| pairs(&rows))
}

fn pairs(rows: &[LogRow]) -> Vec<(u64, u64)> {
    rows.iter().map(|row| (row.seq, row.epoch)).collect()
}

#[test]
fn a_batch_that_was_dropped_and_comes_late_is_nobody_s() {
    run(async |ports: Ports| {
        let room = conversation(7);
        note_epoch(&ports, room, 1, Some(1)).await;
        let log: Arc<[LogRow]> = (1..=3).map(|seq| large(seq, 1)).collect();
        ports.log.append(1, log).await.unwrap();
        // The next owner adopts three rows, and writes one.
        note_epoch(&ports, room, 2, None).await;
        assert_eq!(shown(&ports).await, Err(Unsettled(2)), "it may find more");
        assert_eq!(adopted(&ports, 2).await, [(1, 1), (2, 1), (3, 1)]);
        note_epoch(&ports, room, 2, Some(4)).await;
        ports.log.append(2, [small(4, 2)].into()).await.unwrap();
        // Now the batch comes that the first owner had on its way, with more
        // in every column and with effects.
        let late: Arc<[LogRow]> = (4..=6).map(|seq| large(seq, 1)).collect();
        ports.log.append(1, late).await.unwrap();
        let of_them = vec![(7, state(4, "late")), (7, state(5, "late"))];
        ports.log.apply(effects(room, 1, of_them)).await.unwrap();

        let whole = all_rows(&*ports.log, room).await;
        assert_eq!(whole[3], small(4, 2), "the row is all of the new owner");
        let stays = [(1, 1), (2, 1), (3, 1), (4, 2)];
        assert_eq!(adopted(&ports, 3).await, stays);
        assert_eq!(shown(&ports).await.unwrap(), stays);
        // And the next rows go over what was dropped, whole.
        let next: Arc<[LogRow]> = [small(5, 2), small(6, 2)].into();
        ports.log.append(2, next).await.unwrap();
        let whole = all_rows(&*ports.log, room).await;
        assert_eq!(whole[4..], [small(5, 2), small(6, 2)]);
    });
}

#[test]
fn a_tail_of_which_half_is_visible_ends_at_the_gap() {
    run(async |ports: Ports| {
        let room = conversation(7);
        note_epoch(&ports, room, 1, Some(1)).await;
        // Of a batch of six the fourth is not to be seen.
        for part in [rows(room, 1..=3, 1), rows(room, 5..=6, 1)] {
            ports.log.append(1, part).await.unwrap();
        }
        let prefix = [(1, 1), (2, 1), (3, 1)];
        assert_eq!(shown(&ports).await.unwrap(), prefix);
        note_epoch(&ports, room, 2, None).await;
        assert_eq!(adopted(&ports, 2).await, prefix);
        note_epoch(&ports, room, 2, Some(4)).await;
        // The gap closes: now by the late row, then by the new owner's.
        ports.log.append(1, rows(room, 4..=4, 1)).await.unwrap();
        assert_eq!(shown(&ports).await.unwrap(), prefix);
        assert_eq!(adopted(&ports, 3).await, prefix);
        ports.log.append(2, rows(room, 4..=4, 2)).await.unwrap();
        let stays = [(1, 1), (2, 1), (3, 1), (4, 2)];
        assert_eq!(shown(&ports).await.unwrap(), stays);
        assert_eq!(adopted(&ports, 3).await, stays);
    });
}

#[test]
fn an_effect_where_no_row_is_is_no_row() {
    use Order::{Ascending, Descending};
    run(async |ports: Ports| {
        let room = conversation(7);
        ports.log.append(1, rows(room, 1..=5, 1)).await.unwrap();
        // Behind the end, at the end of the bucket, and in the next one.
        let strays = [7, BUCKET_ROWS, BUCKET_ROWS + 1];
        for target in strays {
            let stray = vec![(90_000, state(target, "stray")), (90_001, emptied(target))];
            ports.log.apply(effects(room, 1, stray)).await.unwrap();
        }
        let all = usize::MAX;
        assert_eq!(
            seqs(&ports, 1, u64::MAX, all, Ascending).await,
            [1, 2, 3, 4, 5]
        );
        assert_eq!(seqs(&ports, 4, u64::MAX, 2, Ascending).await, [4, 5]);
        assert!(seqs(&ports, 6, u64::MAX, 1, Ascending).await.is_empty());
        assert_eq!(seqs(&ports, 4, u64::MAX, all, Descending).await, [5, 4]);
        assert_eq!(seqs(&ports, 1, u64::MAX, 1, Descending).await, [5]);
        // The row comes after its effect, which stands; and from a later
        // owner, for whom it never was.
        ports.log.append(1, rows(room, 6..=7, 1)).await.unwrap();
        let whole = all_rows(&*ports.log, room).await;
        assert_eq!(
            (&whole[6].state[..], &whole[6].entry[..]),
            (&b"stray"[..], &b"emptied"[..])
        );
        ports.log.append(2, rows(room, 6..=7, 2)).await.unwrap();
        let whole = all_rows(&*ports.log, room).await;
        assert_eq!(whole[5..], *rows(room, 6..=7, 2));
    });
}

/// A head row may be written twice for one entry: on the way, and clean when
/// the room ends. Both have one timestamp; clean stays, in either order.
#[test]
fn a_clean_head_stays_clean() {
    run(async |ports: Ports| {
        for order in [[0, 8], [8, 0]] {
            for clean in order {
                ports.log.put_head(1, head(8, clean)).await.unwrap();
            }
            let room = conversation(7);
            assert_eq!(ports.log.head(room).await.unwrap(), Some(head(8, 8)));
        }
    });
}

#[test]
fn what_is_on_its_way_to_an_older_epoch_s_row_comes_too_late() {
    run(async |ports: Ports| {
        let room = conversation(7);
        let row = |epoch, first_seq| EpochRow {
            conversation: room,
            epoch,
            first_seq,
        };
        note_epoch(&ports, room, 2, None).await;
        let never = row(2, Some(EpochRow::NEVER));
        ports.log.put_epoch(3, never).await.unwrap();
        note_epoch(&ports, room, 2, Some(1)).await;
        let stored = ports.log.epochs(room).await.unwrap();
        assert_eq!(stored, [never]);
    });
}

#[test]
fn a_log_that_is_not_there_is_empty() {
    run(async |ports: Ports| {
        let none: ConversationId = conversation(9);
        assert_eq!(ports.log.head(none).await.unwrap(), None);
        assert_eq!(all_rows(&*ports.log, none).await, []);
        assert_eq!(ports.log.epochs(none).await.unwrap(), []);
    });
}
