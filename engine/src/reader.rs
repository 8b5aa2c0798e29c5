//! What a reader that does not own a log may show of it (ARCHITECTURE §7).
//!
//! Behind a head that an owner confirmed lie rows that may be replaced: those
//! of a write whose outcome nobody knows, or of an owner that has lost the
//! log. The reader reads rows **first**, epochs **after**, both at quorum:
//! whoever replaces rows notes its epoch before it reads which there are, so
//! a reader that does not find that epoch has shown its rows to its owner.

use crate::row::{EpochRow, LogRow};

/// An epoch's activation is under way: which rows stay is not settled yet.
/// Clients are answered `unavailable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("epoch {0} of the log has not begun yet")]
pub struct Unsettled(pub u64);

/// Of `rows` (ascending) those that are never replaced. Up to `confirmed`, a
/// head that an owner gave out or the last row that this function passed,
/// they are taken as they are; behind it they must follow without a gap, each
/// written under the epoch that owns its seq. `epochs` were read after `rows`,
/// in any order.
///
/// # Errors
/// [`Unsettled`] when rows behind `confirmed` cannot be judged yet.
pub fn settled(
    confirmed: u64,
    mut rows: Vec<LogRow>,
    epochs: &[EpochRow],
) -> Result<Vec<LogRow>, Unsettled> {
    let mut next = confirmed.saturating_add(1);
    if rows.last().is_none_or(|row| row.seq < next) {
        return Ok(rows);
    }
    // An open epoch below one that began has been closed, or came too late
    // to own anything.
    if let Some(newest) = epochs.iter().max_by_key(|known| known.epoch)
        && newest.first_seq.is_none()
    {
        return Err(Unsettled(newest.epoch));
    }
    let final_rows = rows.iter().take_while(|row| {
        if row.seq <= confirmed {
            return true;
        }
        let follows = row.seq == next;
        next += 1;
        follows && owner_of(row.seq, epochs) == Some(row.epoch)
    });
    let count = final_rows.count();
    rows.truncate(count);
    Ok(rows)
}

/// The epoch that owns a seq: the highest that began at or below it.
pub fn owner_of(seq: u64, epochs: &[EpochRow]) -> Option<u64> {
    let began = |known: &&EpochRow| known.begins_at().is_some_and(|first| first <= seq);
    epochs.iter().filter(began).map(|known| known.epoch).max()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fanfare_protocol::ConversationId;
    use uuid::Uuid;

    use super::*;

    const LOG: ConversationId = ConversationId(Uuid::from_u128(1));

    fn row(&(seq, epoch): &(u64, u64)) -> LogRow {
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

    fn epoch(&(epoch, first): &(u64, u64)) -> EpochRow {
        EpochRow {
            conversation: LOG,
            epoch,
            first_seq: (first > 0).then_some(first),
        }
    }

    /// Last seq shown, from rows (seq, epoch) and epochs (epoch, first seq; 0: open).
    fn shown(
        confirmed: u64,
        rows: &[(u64, u64)],
        epochs: &[(u64, u64)],
    ) -> Result<Option<u64>, Unsettled> {
        let epochs: Vec<EpochRow> = epochs.iter().map(epoch).collect();
        let rows = settled(confirmed, rows.iter().map(row).collect(), &epochs)?;
        Ok(rows.last().map(|row| row.seq))
    }

    #[test]
    fn rows_behind_a_confirmed_head_are_judged_by_epoch() {
        let log = &[(1, 3), (2, 3), (3, 5), (4, 5)];
        type Case<'a> = (u64, &'a [(u64, u64)], Result<Option<u64>, Unsettled>);
        let table: &[Case<'_>] = &[
            (0, &[(3, 1), (5, 3)], Ok(Some(4))),
            // Epoch 3 lost 3 and 4, or 5 has lost 4 to 6.
            (0, &[(3, 1), (5, 4)], Ok(Some(2))),
            (0, &[(3, 1), (5, 3), (6, 4)], Ok(Some(3))),
            (0, &[(3, 1), (5, 3), (6, 5)], Ok(Some(4))),
            // An activation is under way; below a confirmed head it does not matter.
            (0, &[(3, 1), (5, 3), (6, 0)], Err(Unsettled(6))),
            (4, &[(3, 1), (5, 3), (6, 0)], Ok(Some(4))),
            (9, &[], Ok(Some(4))),
            (2, &[(3, 1), (6, 3)], Ok(Some(2))),
            // One that never began, below one that did.
            (0, &[(3, 1), (4, 0), (5, 3)], Ok(Some(4))),
            (0, &[(3, 1), (4, EpochRow::NEVER), (5, 3)], Ok(Some(4))),
            // Nobody owns anything.
            (0, &[], Ok(None)),
        ];
        for (confirmed, epochs, expected) in table {
            assert_eq!(
                shown(*confirmed, log, epochs),
                *expected,
                "{confirmed} {epochs:?}"
            );
        }
    }

    #[test]
    fn a_gap_ends_what_is_shown() {
        let epochs = &[(3, 1)];
        assert_eq!(shown(0, &[(1, 3), (3, 3)], epochs), Ok(Some(1)));
        assert_eq!(shown(0, &[(2, 3), (3, 3)], epochs), Ok(None));
        assert_eq!(shown(1, &[(2, 3), (3, 3)], epochs), Ok(Some(3)));
        assert_eq!(shown(5, &[(4, 3), (7, 3)], epochs), Ok(Some(4)));
        assert_eq!(shown(5, &[], epochs), Ok(None));
    }
}
