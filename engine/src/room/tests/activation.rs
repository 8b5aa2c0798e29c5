//! What an owner adopts of what it finds.

use bytes::Bytes;
use fanfare_protocol::{ConversationId, Timestamp};
use uuid::Uuid;

use crate::room::activation::{AdoptError, Adopted, Found, adopt};
use crate::row::{EpochRow, HeadRow, LogRow};

const LOG: ConversationId = ConversationId(Uuid::from_u128(1));

fn row(seq: u64, epoch: u64) -> LogRow {
    LogRow {
        conversation: LOG,
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

fn head(seq: u64, epoch: u64, clean: u64) -> Option<HeadRow> {
    Some(HeadRow {
        conversation: LOG,
        epoch,
        seq,
        mno: 0,
        ano: 0,
        at: Timestamp(0),
        clean,
    })
}

/// Rows and epochs as pairs (seq, epoch) and (epoch, first seq; 0: none).
fn found(head: Option<HeadRow>, tail: &[(u64, u64)], epochs: &[(u64, u64)]) -> Found {
    let epoch_row = |&(epoch, first): &(u64, u64)| EpochRow {
        conversation: LOG,
        epoch,
        first_seq: (first > 0).then_some(first),
    };
    Found {
        head,
        tail: tail.iter().map(|&(seq, epoch)| row(seq, epoch)).collect(),
        epochs: epochs.iter().map(epoch_row).collect(),
    }
}

/// (first and last adopted seq, rewrite, first_seq, epoch known)
type Short = (u64, u64, bool, u64, bool);

fn short(adopted: Result<Adopted, AdoptError>) -> Result<Short, AdoptError> {
    adopted.map(|it| {
        let seq = |row: Option<&LogRow>| row.map_or(0, |row| row.seq);
        let (first, last) = (seq(it.rows.first()), seq(it.rows.last()));
        (first, last, it.rewrite, it.first_seq, it.epoch_known)
    })
}

#[test]
fn what_is_found_and_what_is_adopted_under_epoch_7() {
    let log: Vec<(u64, u64)> = (1..=5).map(|seq| (seq, 3)).collect();
    let with = |more: &[(u64, u64)]| [log.as_slice(), more].concat();
    let e3 = &[(3, 1)][..];
    let table: &[(&str, Found, Result<Short, AdoptError>)] = &[
        (
            "nothing",
            found(None, &[], &[]),
            Ok((0, 0, false, 1, false)),
        ),
        (
            "no head row yet",
            found(None, &log, e3),
            Ok((1, 5, true, 6, false)),
        ),
        (
            "left clean",
            found(head(5, 3, 5), &log, e3),
            Ok((1, 5, false, 6, false)),
        ),
        (
            "clean, then went on",
            found(head(4, 3, 4), &log, e3),
            Ok((1, 5, true, 6, false)),
        ),
        (
            "only the tail was read",
            found(head(4, 3, 0), &[(3, 3), (4, 3), (5, 3)], e3),
            Ok((3, 5, true, 6, false)),
        ),
        (
            "rows behind a gap",
            found(None, &with(&[(7, 3), (8, 3)]), e3),
            Ok((1, 5, true, 6, false)),
        ),
        (
            "a former owner's late rows",
            found(None, &with(&[(6, 4), (7, 3), (8, 3)]), &[(3, 1), (4, 6)]),
            Ok((1, 6, true, 7, false)),
        ),
        (
            "a takeover that never ended owns nothing",
            found(None, &with(&[(6, 3)]), &[(3, 1), (4, 0)]),
            Ok((1, 6, true, 7, false)),
        ),
        (
            "a takeover noted late does not disown what the next one settled",
            found(None, &with(&[(6, 3), (7, 5)]), &[(3, 1), (5, 7), (4, 4)]),
            Ok((1, 7, true, 8, false)),
        ),
        (
            "begun under this epoch before",
            found(None, &log, &[(3, 1), (7, 0)]),
            Ok((1, 5, true, 6, false)),
        ),
        (
            "activated under this epoch before",
            found(None, &with(&[(6, 7)]), &[(3, 1), (7, 6)]),
            Ok((1, 6, true, 6, true)),
        ),
        (
            "a former owner's late head row, as long as the log by chance",
            found(head(6, 3, 6), &with(&[(6, 4)]), &[(3, 1), (4, 6)]),
            Ok((1, 6, true, 7, false)),
        ),
        (
            "a former owner's late head row, longer than the log",
            found(head(9, 3, 9), &with(&[(6, 4)]), &[(3, 1), (4, 6)]),
            Ok((1, 6, true, 7, false)),
        ),
        (
            "a higher epoch",
            found(None, &log, &[(3, 1), (8, 0)]),
            Err(AdoptError::EpochAbove(8)),
        ),
        (
            "rows of a higher epoch",
            found(None, &[(1, 3), (2, 9)], &[]),
            Err(AdoptError::EpochAbove(9)),
        ),
        (
            "less than the head row says",
            found(head(6, 3, 0), &log, e3),
            Err(AdoptError::RowsMissing(6)),
        ),
        (
            "less than an activation adopted",
            found(None, &log, &[(3, 1), (4, 9)]),
            Err(AdoptError::RowsMissing(6)),
        ),
        (
            "nothing where something was",
            found(head(6, 3, 6), &[], e3),
            Err(AdoptError::RowsMissing(1)),
        ),
        (
            "a beginning that is missing",
            found(None, &[(4, 3), (5, 3)], e3),
            Ok((0, 0, false, 1, false)),
        ),
    ];
    for (name, found, expected) in table {
        assert_eq!(short(adopt(found.clone(), 7)), *expected, "{name}");
    }
}

#[test]
fn the_newest_256_rows_are_written_again_unless_clean() {
    let log: Vec<(u64, u64)> = (1..=300).map(|seq| (seq, 3)).collect();
    let again = |head, log: &[(u64, u64)]| {
        let adopted = adopt(found(head, log, &[(3, 1)]), 7);
        adopted.map(|adopted| {
            let rows = adopted.again();
            (rows.first().map(|row| row.seq), rows.len())
        })
    };
    assert_eq!(again(None, &log), Ok((Some(45), 256)));
    assert_eq!(again(head(300, 3, 300), &log), Ok((None, 0)));
    assert_eq!(again(None, &log[..3]), Ok((Some(1), 3)));
}
