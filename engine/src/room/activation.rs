//! The first activation of a conversation under an epoch, as far as it is
//! pure (ARCHITECTURE §7): of what was found in the store, what is the log?
//!
//! [`super::steps::Activation`] has the order of the steps around it.

use fanfare_protocol::limits::ACTIVATION_ROWS;

use crate::row::{EpochRow, HeadRow, LogRow};

/// What the store holds of one conversation.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Where an owner left the log.
    pub head: Option<HeadRow>,
    /// Rows, ascending, from some row at or below the head row's seq (from
    /// the first row where there is no head row) to the end.
    pub tail: Vec<LogRow>,
    /// All epochs, in any order.
    pub epochs: Vec<EpochRow>,
}

/// The log that an owner goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Adopted {
    /// Newest rows of the log, ascending, dense.
    pub rows: Vec<LogRow>,
    /// Whether steps 3 and 4 are due: the log was not left clean.
    pub rewrite: bool,
    /// First seq of this epoch, to be noted unless `epoch_known`.
    pub first_seq: u64,
    /// Activated before under this epoch: skip steps 1 and 5.
    pub epoch_known: bool,
}

/// Why a log may not be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// Somebody wrote under a higher epoch: raise the slot above it first
    /// (after a restore or a copy), or one's own ownership has ended.
    #[error("the log knows epoch {0}, above the own one")]
    EpochAbove(u64),
    /// Rows that were durable are not there: serving would give their
    /// numbers to other content.
    #[error("durable rows are missing from seq {0} on")]
    RowsMissing(u64),
}

/// Finds the contiguous prefix that is the log: rows behind a gap were never
/// acknowledged, and from the newest epoch's first seq on only its own rows
/// count (what lies below was settled by that epoch's activation).
///
/// # Errors
/// See [`AdoptError`].
pub fn adopt(found: Found, epoch: u64) -> Result<Adopted, AdoptError> {
    let Found { head, tail, epochs } = found;
    let above = epochs.iter().map(|known| known.epoch).max();
    if let Some(above) = above.filter(|above| *above > epoch) {
        return Err(AdoptError::EpochAbove(above));
    }
    let settled = |known: &EpochRow| known.begins_at().map(|first| (known.epoch, first));
    let newest = epochs.iter().filter_map(settled).max();
    let owned = |seq: u64, by: u64| newest.is_none_or(|(epoch, first)| seq < first || by == epoch);
    // What an owner wrote after it had lost the conversation says nothing.
    let head = head.filter(|head| owned(head.seq, head.epoch));
    let durable = head.map_or(0, |head| head.seq);
    let durable = durable.max(newest.map_or(0, |(_, first)| first - 1));

    let mut rows: Vec<LogRow> = Vec::with_capacity(tail.len());
    for row in tail {
        let next = rows.last().map_or(row.seq, |last| last.seq + 1);
        let begins = !rows.is_empty() || row.seq == 1 || row.seq <= durable;
        if row.seq != next || !begins || !owned(row.seq, row.epoch) {
            break;
        }
        if row.epoch > epoch {
            return Err(AdoptError::EpochAbove(row.epoch));
        }
        rows.push(row);
    }
    let last_seq = rows.last().map_or(0, |row| row.seq);
    if last_seq < durable {
        return Err(AdoptError::RowsMissing(last_seq + 1));
    }
    let clean = head.is_some_and(|head| head.clean == last_seq);
    let own = newest.filter(|(known, _)| *known == epoch);
    Ok(Adopted {
        rewrite: !rows.is_empty() && !clean,
        first_seq: own.map_or(last_seq + 1, |(_, first)| first),
        epoch_known: own.is_some(),
        rows,
    })
}

impl Adopted {
    /// Rows whose writing and effects are repeated: the newest 256 if the
    /// log was not left clean.
    pub fn again(&self) -> &[LogRow] {
        if !self.rewrite {
            return &[];
        }
        let skipped = (self.rows.len() as u64).saturating_sub(ACTIVATION_ROWS);
        let skipped = usize::try_from(skipped).unwrap_or(0);
        self.rows.get(skipped..).unwrap_or(&[])
    }
}
