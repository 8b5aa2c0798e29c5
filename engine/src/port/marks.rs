//! Delivered and read marks, and who is named where.

use fanfare_protocol::{ConversationId, UserId};

use super::PortFuture;
use crate::member::Marks;

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

    /// Messages above `after_seq` that name this member.
    fn mentions_behind(
        &self,
        user: UserId,
        conversation: ConversationId,
        after_seq: u64,
    ) -> PortFuture<'_, u64>;
}
