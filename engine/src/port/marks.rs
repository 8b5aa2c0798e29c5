//! Delivered and read marks, and who is named where.

use fanfare_protocol::{ConversationId, UserId};

use super::PortFuture;
use crate::member::{Marks, MemberRow};

/// A mark to raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Read up to `seq`, where the log stood at `mno` and `ano`.
    Read {
        /// Seq.
        seq: u64,
        /// `mno` there.
        mno: u64,
        /// `ano` there.
        ano: u64,
    },
    /// Delivered up to `seq`.
    Delivered {
        /// Seq.
        seq: u64,
    },
}

/// One mark of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkWrite {
    /// Where.
    pub conversation: ConversationId,
    /// Whose.
    pub user: UserId,
    /// Which, and where to.
    pub mark: Mark,
}

/// What counting somebody's unread messages rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Their membership, active or not; `None` for who never was a member.
    pub member: Option<MemberRow>,
    /// Their marks.
    pub marks: Marks,
    /// Messages behind [`read_up_to`] that name them.
    ///
    /// [`read_up_to`]: crate::unread::read_up_to
    pub named: u64,
}

/// Marks only rise: the timestamp of a mark is its seq at epoch 0, so the
/// highest wins whoever wrote it.
pub trait MarksPort: Send + Sync {
    /// A member's marks; zeros when none was ever set.
    fn marks(&self, conversation: ConversationId, user: UserId) -> PortFuture<'_, Marks>;

    /// Marks of the members behind `after`, at most `limit`.
    fn marks_of(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(UserId, Marks)>>;

    /// Raises marks, all durable when it returns. Lower ones change nothing.
    fn raise(&self, writes: Vec<MarkWrite>) -> PortFuture<'_, ()>;

    /// Where these users stand, in their order, read at once. Each comes with
    /// marks that are known to be reached; the higher ones count.
    fn standings(
        &self,
        conversation: ConversationId,
        users: Vec<(UserId, Marks)>,
    ) -> PortFuture<'_, Vec<Standing>>;
}
