//! Logical timestamps: who wins when two writes meet.

use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::{SLOTS, STAMP_SEQ_MAX};
use serde::{Deserialize, Serialize};

/// The order of writes to one row: epoch of the writer first, then the seq
/// of the entry that causes the write. Later wins, whoever wrote it.
///
/// As a store's signed timestamp it is `(epoch − 2²²)·2⁴⁰ + seq`: always in
/// the past (ScyllaDB refuses timestamps three days ahead), good for four
/// million epochs (ARCHITECTURE §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Epoch of the writer when it writes.
    pub epoch: u64,
    /// Seq of the entry that causes the write.
    pub seq: u64,
}

impl Stamp {
    /// A stamp of the given epoch and seq.
    pub fn new(epoch: u64, seq: u64) -> Self {
        Self { epoch, seq }
    }

    /// The stamp of something where the highest seq wins whoever wrote it
    /// (marks): epoch 0.
    pub fn of_mark(seq: u64) -> Self {
        Self { epoch: 0, seq }
    }

    /// The store's timestamp.
    pub fn micros(self) -> i64 {
        const EPOCHS: i64 = 1 << 22;
        const SEQS: u64 = STAMP_SEQ_MAX + 1;
        let epoch = i64::try_from(self.epoch).unwrap_or(EPOCHS).min(EPOCHS) - EPOCHS;
        let seq = i64::try_from(self.seq % SEQS).unwrap_or(0);
        epoch * (1 << 40) + seq
    }
}

/// The slot of a conversation: one of 1024 parts of the conversation space,
/// from the last eight bytes of its id (UUIDv7: random bits). A format
/// constant.
pub fn slot_of(conversation: ConversationId) -> u16 {
    let tail = conversation
        .as_bytes()
        .last_chunk::<8>()
        .copied()
        .unwrap_or_default();
    (u64::from_be_bytes(tail) % u64::from(SLOTS)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_epoch_wins_over_any_seq() {
        let old = Stamp::new(3, 1 << 39);
        let new = Stamp::new(4, 1);
        assert!(new > old);
        assert!(new.micros() > old.micros());
        assert!(Stamp::new(1 << 22, 1).micros() < 1_000_000_000_000);
        assert!(Stamp::of_mark(5).micros() < Stamp::new(1, 0).micros());
    }
}
