//! Where a cursor leads (PROTOCOL, "Coming back"): delivery goes on behind
//! it, or the client fetches history anew and hears from the head on.

/// Where a client says it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// Epoch of the entry at `seq`. Without it only the range is checked.
    pub epoch: Option<u64>,
    /// Newest seq held, 0 for nothing; `None`: no cursor, from now on.
    pub seq: Option<u64>,
}

/// What the log says about the wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogView {
    /// Newest durable seq.
    pub head_seq: u64,
    /// Epoch of the row at the head.
    pub head_epoch: u64,
    /// Epoch of the row at the wish's seq; `None`: no such row.
    pub row_epoch: Option<u64>,
    /// Epoch of the row behind it; `None`: no such row.
    pub next_row_epoch: Option<u64>,
}

/// Where delivery starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The next event is the one behind this seq; nothing is missing.
    From(u64),
    /// The same, but what the client holds may be stale: fetch it anew.
    Resync(u64),
}

/// Places a cursor. `from_seq` is the first seq that this member may see,
/// `entries_max` how far behind a replay may begin.
///
/// An epoch owns seq `s` if the row at `s` was written under it. Accepted
/// besides: the epoch of the row at `s + 1` (its owner adopted everything up
/// to `s`), any epoch for `s = 0` (nothing is held), and at the head every
/// epoch from the head's own on (an owner that has written nothing yet).
pub fn place(wish: Wish, log: LogView, from_seq: u64, entries_max: u64) -> Placement {
    let Some(seq) = wish.seq else {
        return Placement::From(log.head_seq);
    };
    let in_log = seq <= log.head_seq;
    let near = log.head_seq.saturating_sub(seq) <= entries_max;
    let visible = seq >= from_seq.saturating_sub(1);
    let owned = seq == 0
        || wish.epoch.is_none_or(|epoch| {
            log.row_epoch == Some(epoch)
                || log.next_row_epoch == Some(epoch)
                || (seq == log.head_seq && epoch >= log.head_epoch)
        });
    if in_log && near && visible && owned {
        Placement::From(seq)
    } else {
        Placement::Resync(log.head_seq)
    }
}

#[cfg(test)]
mod tests {
    use super::Placement::{From, Resync};
    use super::*;

    /// A log of 50 entries: epoch 3 wrote 1–40, epoch 5 wrote 41–50.
    fn view(seq: u64) -> LogView {
        let epoch_at = |seq: u64| match seq {
            1..=40 => Some(3),
            41..=50 => Some(5),
            _ => None,
        };
        LogView {
            head_seq: 50,
            head_epoch: 5,
            row_epoch: epoch_at(seq),
            next_row_epoch: epoch_at(seq.saturating_add(1)),
        }
    }

    fn placed(epoch: impl Into<Option<u64>>, seq: u64, from_seq: u64) -> Placement {
        let wish = Wish {
            epoch: epoch.into(),
            seq: Some(seq),
        };
        place(wish, view(seq), from_seq, 45)
    }

    #[test]
    fn without_a_cursor_delivery_starts_now() {
        let wish = Wish::default();
        assert_eq!(place(wish, view(0), 1, 45), From(50));
        let epoch_alone = Wish {
            epoch: Some(9),
            seq: None,
        };
        assert_eq!(place(epoch_alone, view(0), 1, 45), From(50));
    }

    #[test]
    fn an_epoch_must_own_its_seq() {
        let table = [
            (3, 40, From(40)),
            (5, 41, From(41)),
            (5, 50, From(50)),
            // The boundary: epoch 5 adopted everything up to 40.
            (5, 40, From(40)),
            (5, 39, Resync(50)),
            // A seq that epoch 3 lost, as after a restore.
            (3, 41, Resync(50)),
            (3, 50, Resync(50)),
            (4, 40, Resync(50)),
            (4, 41, Resync(50)),
            (0, 40, Resync(50)),
            // An owner that has written nothing yet.
            (6, 50, From(50)),
            (6, 49, Resync(50)),
            (4, 50, Resync(50)),
        ];
        for (epoch, seq, expected) in table {
            assert_eq!(placed(epoch, seq, 1), expected, "epoch {epoch}, seq {seq}");
        }
    }

    #[test]
    fn a_seq_without_an_epoch_is_only_checked_for_its_range() {
        assert_eq!(placed(None, 44, 1), From(44));
        assert_eq!(placed(None, 51, 1), Resync(50));
        assert_eq!(placed(None, 4, 1), Resync(50));
    }

    #[test]
    fn a_cursor_ahead_of_the_log_is_not_believed() {
        for epoch in [None, Some(3), Some(5), Some(6), Some(u64::MAX)] {
            assert_eq!(placed(epoch, 51, 1), Resync(50), "{epoch:?}");
            assert_eq!(placed(epoch, u64::MAX, 1), Resync(50), "{epoch:?}");
        }
    }

    #[test]
    fn too_far_behind_is_a_resync_and_the_edge_is_not() {
        assert_eq!(placed(3, 5, 1), From(5));
        assert_eq!(placed(3, 4, 1), Resync(50));
        assert_eq!(placed(None, 0, 1), Resync(50));
    }

    #[test]
    fn nothing_below_the_first_visible_seq_is_replayed() {
        // Added by entry 20: stands at 20 with that entry, at 19 before it.
        assert_eq!(placed(3, 20, 20), From(20));
        assert_eq!(placed(3, 19, 20), From(19));
        assert_eq!(placed(3, 18, 20), Resync(50));
        assert_eq!(placed(None, 18, 20), Resync(50));
    }

    #[test]
    fn nothing_held_needs_no_epoch() {
        let short = LogView {
            head_seq: 4,
            head_epoch: 9,
            row_epoch: None,
            next_row_epoch: Some(7),
        };
        for epoch in [None, Some(0), Some(1), Some(9)] {
            let wish = Wish {
                epoch,
                seq: Some(0),
            };
            assert_eq!(place(wish, short, 1, 45), From(0), "{epoch:?}");
            assert_eq!(place(wish, short, 0, 45), From(0), "{epoch:?}");
            assert_eq!(place(wish, short, 2, 45), Resync(4), "{epoch:?}");
        }
    }
}
