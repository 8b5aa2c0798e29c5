//! Counting what a member has not read (ARCHITECTURE §6): messages and
//! mentions of everybody by differences of running numbers, mentions by name
//! as rows behind the mark.

use crate::member::{Marks, MemberRow};

/// What a member has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unread {
    /// Messages behind the read mark.
    pub messages: u64,
    /// Mentions behind the read mark, by name and of everybody. A message
    /// that does both counts twice, unless its names were not written.
    pub mentions: u64,
}

/// Counts at a head with the running numbers `head_mno` and `head_ano`.
/// `named` is the number of messages behind [`read_up_to`] that name the
/// member. Nothing before the entry that added the member is unread.
pub fn unread(
    head_mno: u64,
    head_ano: u64,
    member: &MemberRow,
    marks: &Marks,
    named: u64,
) -> Unread {
    let read_mno = marks.read_mno.max(member.joined_mno);
    let read_ano = marks.read_ano.max(member.joined_ano);
    Unread {
        messages: head_mno.saturating_sub(read_mno),
        mentions: named.saturating_add(head_ano.saturating_sub(read_ano)),
    }
}

/// The seq up to which everything counts as read: the mark, or the entry
/// that added the member, whichever is later.
pub fn read_up_to(member: &MemberRow, marks: &Marks) -> u64 {
    marks.read_seq.max(member.joined_seq)
}

#[cfg(test)]
mod tests {
    use fanfare_protocol::Timestamp;
    use fanfare_protocol::conversation::Role;
    use fanfare_protocol::participant::MemberState;

    use super::*;

    fn joined(joined_seq: u64, joined_mno: u64, joined_ano: u64) -> MemberRow {
        MemberRow {
            role: Role::Member,
            state: MemberState::Active,
            joined_at: Timestamp(0),
            from_seq: 1,
            changed_seq: joined_seq + 7,
            joined_seq,
            joined_mno,
            joined_ano,
        }
    }

    fn read(read_seq: u64, read_mno: u64, read_ano: u64) -> Marks {
        Marks {
            read_seq,
            read_mno,
            read_ano,
            delivered_seq: 0,
        }
    }

    #[test]
    fn unread_is_what_lies_between_mark_and_head() {
        let member = joined(10, 8, 2);
        let table = [
            // (head mno, head ano, marks, named) → (messages, mentions)
            ((8, 2), read(0, 0, 0), 0, (0, 0)),
            ((20, 5), read(0, 0, 0), 1, (12, 4)),
            ((20, 5), read(9, 7, 1), 1, (12, 4)),
            ((20, 5), read(15, 11, 3), 0, (9, 2)),
            ((20, 5), read(25, 20, 5), 0, (0, 0)),
            // A mark may be newer than the head at hand: never below zero.
            ((20, 5), read(30, 22, 6), 2, (0, 2)),
            (
                (u64::MAX, u64::MAX),
                read(0, 0, 0),
                u64::MAX,
                (u64::MAX - 8, u64::MAX),
            ),
        ];
        for ((mno, ano), marks, named, (messages, mentions)) in table {
            assert_eq!(
                unread(mno, ano, &member, &marks, named),
                Unread { messages, mentions },
                "head {mno}/{ano}, {marks:?}"
            );
        }
    }

    #[test]
    fn joining_reads_everything_before_it() {
        let member = joined(10, 8, 2);
        assert_eq!(read_up_to(&member, &read(0, 0, 0)), 10);
        assert_eq!(read_up_to(&member, &read(9, 7, 2)), 10);
        assert_eq!(read_up_to(&member, &read(11, 9, 2)), 11);
    }
}
