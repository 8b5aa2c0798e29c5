//! When a conversation may have been active, as far as a hint tells.
//!
//! The first entry of each window of ten minutes is noted for the members of
//! a conversation that is not large. So what was active at `t` was so until the
//! end of `t`'s window at the latest; without a hint, any time.

use fanfare_protocol::Timestamp;
use fanfare_protocol::limits::{INBOX_MEMBERS_MAX, INBOX_WINDOW_MS};

/// The hint of a conversation that grew too large to be noted: look.
pub const ALWAYS_LOOK: Timestamp = Timestamp(i64::MAX);

/// What an entry at `at` has noted, after one at `before`, in a conversation
/// that had `members_before` members and has `members` now; `None`: nothing.
pub fn noted(
    before: Option<Timestamp>,
    at: Timestamp,
    members_before: u64,
    members: u64,
) -> Option<Timestamp> {
    if members > INBOX_MEMBERS_MAX {
        let grew = members_before <= INBOX_MEMBERS_MAX;
        return grew.then_some(ALWAYS_LOOK);
    }
    let another = before.is_none_or(|before| window_of(before) != window_of(at));
    another.then_some(at)
}

/// The latest time at which a conversation with this hint was active.
pub fn latest(hint: Option<Timestamp>) -> Timestamp {
    match hint {
        Some(hint) if hint < ALWAYS_LOOK => Timestamp(
            (window_of(hint) + 1)
                .saturating_mul(INBOX_WINDOW_MS)
                .saturating_sub(1),
        ),
        _ => ALWAYS_LOOK,
    }
}

fn window_of(at: Timestamp) -> i64 {
    at.0.div_euclid(INBOX_WINDOW_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_of_each_window_is_noted() {
        let at = |minutes: i64| Timestamp(minutes * 60_000);
        let large = INBOX_MEMBERS_MAX + 1;
        for (before, now, members_before, members, expected) in [
            (None, at(5), 0, 3, Some(at(5))),
            (Some(at(5)), at(9), 3, 3, None),
            (Some(at(5)), at(10), 3, 3, Some(at(10))),
            (Some(at(9)), at(500), 3, 3, Some(at(500))),
            // A clock that went back.
            (Some(at(31)), at(29), 3, 3, Some(at(29))),
            (
                Some(at(5)),
                at(6),
                INBOX_MEMBERS_MAX,
                large,
                Some(ALWAYS_LOOK),
            ),
            (Some(at(5)), at(60), large, large, None),
        ] {
            assert_eq!(noted(before, now, members_before, members), expected);
        }
    }

    #[test]
    fn a_hint_bounds_when_it_was_active() {
        let at = |minutes: i64| Timestamp(minutes * 60_000);
        assert_eq!(latest(Some(at(5))), Timestamp(at(10).0 - 1));
        assert_eq!(latest(Some(at(10))), Timestamp(at(20).0 - 1));
        assert_eq!(latest(None), ALWAYS_LOOK);
        assert_eq!(latest(Some(ALWAYS_LOOK)), ALWAYS_LOOK);
    }
}
