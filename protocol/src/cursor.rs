//! Where a reader stands.

use serde::{Deserialize, Serialize};

use crate::{ConversationId, strict};

/// A reader has everything up to and including `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cursor {
    /// Conversation.
    pub conversation: ConversationId,
    /// Epoch of the entry at `seq`.
    #[serde(deserialize_with = "strict::whole")]
    pub epoch: u64,
    /// Newest seq held; 0 for nothing.
    #[serde(deserialize_with = "strict::whole")]
    pub seq: u64,
}

/// A wish to hear a conversation, from a cursor or from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CursorWish {
    /// Conversation.
    pub conversation: ConversationId,
    /// Epoch of the entry at `seq`.
    #[serde(default, deserialize_with = "strict::whole_if_any")]
    pub epoch: Option<u64>,
    /// Newest seq held.
    #[serde(default, deserialize_with = "strict::whole_if_any")]
    pub seq: Option<u64>,
}

impl From<Cursor> for CursorWish {
    fn from(cursor: Cursor) -> Self {
        Self {
            conversation: cursor.conversation,
            epoch: Some(cursor.epoch),
            seq: Some(cursor.seq),
        }
    }
}

/// A conversation that will not be delivered, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gone {
    /// Conversation.
    pub conversation: ConversationId,
    /// Why.
    pub reason: GoneReason,
}

/// Why a cursor leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoneReason {
    /// Not a member, or no such conversation: the asker may not know which.
    NotAMember,
    /// The session has as many subscriptions as it may.
    TooMany,
}

/// What became of a list of cursors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// Delivered from behind these.
    pub subscribed: Vec<Cursor>,
    /// Delivered from behind these, but history must be fetched anew.
    pub resync: Vec<Cursor>,
    /// Not delivered.
    pub gone: Vec<Gone>,
    /// The owner is just changing; `session:resumed` follows.
    pub later: Vec<ConversationId>,
}
