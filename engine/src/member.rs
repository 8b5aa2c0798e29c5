//! Memberships.

use fanfare_protocol::conversation::Role;
use fanfare_protocol::participant::MemberState;
use fanfare_protocol::{ConversationId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// A user's membership of a conversation, as absolute values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Role.
    pub role: Role,
    /// Active, or left.
    pub state: MemberState,
    /// Since when.
    pub joined_at: Timestamp,
    /// First seq this member may see.
    pub from_seq: u64,
    /// Seq of the entry that last added or removed them.
    pub changed_seq: u64,
    /// Seq of the entry that last added them.
    pub joined_seq: u64,
    /// `mno` at the entry that added them: nothing before it is unread.
    pub joined_mno: u64,
    /// `ano` there.
    pub joined_ano: u64,
}

impl MemberRow {
    /// Whether they are a member now.
    pub fn is_active(&self) -> bool {
        self.state == MemberState::Active
    }
}

/// One of a user's conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// Conversation.
    pub conversation: ConversationId,
    /// Member.
    pub user: UserId,
    /// Row.
    pub row: MemberRow,
}

/// How far a member has read and received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marks {
    /// Read up to.
    pub read_seq: u64,
    /// `mno` there.
    pub read_mno: u64,
    /// `ano` there.
    pub read_ano: u64,
    /// Delivered up to.
    pub delivered_seq: u64,
}

impl Marks {
    /// The higher of each mark.
    #[must_use]
    pub fn highest(self, other: Self) -> Self {
        let read = if self.read_seq >= other.read_seq {
            self
        } else {
            other
        };
        Self {
            delivered_seq: self.delivered_seq.max(other.delivered_seq),
            ..read
        }
    }
}
