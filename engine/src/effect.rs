//! Effects: what an entry changes outside its own row, as absolute values
//! under the entry's timestamp, so that repeating them is harmless.

use bytes::Bytes;
use fanfare_protocol::{ConversationId, UserId};

use crate::member::{Marks, MemberRow};
use crate::meta::ConversationMeta;

/// One effect and the seq of the entry that causes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Seq of the entry that causes it.
    pub seq: u64,
    /// What it sets.
    pub set: Set,
}

/// What an effect sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Set {
    /// State of an older message.
    State {
        /// Its seq.
        target: u64,
        /// Encoded state.
        state: Bytes,
    },
    /// An older entry without its text.
    Emptied {
        /// Its seq.
        target: u64,
        /// Encoded entry.
        entry: Bytes,
    },
    /// A membership, in both directions (members of, conversations of).
    Member {
        /// Whose.
        user: UserId,
        /// Row.
        row: MemberRow,
    },
    /// The conversation's own record.
    Meta(Box<ConversationMeta>),
    /// A message names (or no longer names) a member.
    Mention {
        /// Whom.
        user: UserId,
        /// The message's seq.
        message: u64,
        /// Named, or withdrawn.
        on: bool,
    },
    /// A mark that rises: the sender's own. Lazy: not waited for.
    Mark {
        /// Whose.
        user: UserId,
        /// Where to.
        marks: Marks,
    },
}

/// The effects of one append, all of one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects {
    /// Conversation.
    pub conversation: ConversationId,
    /// Epoch of the writer at the time it writes.
    pub epoch: u64,
    /// In order of seq.
    pub list: Vec<Effect>,
}
