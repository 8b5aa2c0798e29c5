//! Signals: fleeting, never stored, without seq. Only what a newer one
//! replaces, or what a client can ask for again.

use serde::Serialize;

use crate::conversation::Conversation;
use crate::cursor::{Cursor, Placed};
use crate::mark::MarkUpdate;
use crate::refusal::Refusal;

/// One fleeting frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Signal {
    /// `message:status`: marks that moved in the last second.
    MessageStatus {
        /// Whose, and to where.
        marks: Vec<MarkUpdate>,
    },
    /// `unread:update`: counts of the receiver.
    UnreadUpdate {
        /// Messages behind the read mark.
        unread: u64,
        /// Mentions behind the read mark.
        mentions: u64,
        /// The read mark.
        read_seq: u64,
    },
    /// `conversation:created`: the receiver has become a member and is
    /// subscribed from `cursor`.
    ConversationCreated {
        /// The conversation as the receiver sees it.
        conversation: Box<Conversation>,
        /// Delivery starts behind it.
        cursor: Cursor,
    },
    /// `session:resumed`: what `later` named has been placed.
    SessionResumed(Placed),
    /// `session:reconnect`: come back after the delay.
    SessionReconnect {
        /// Milliseconds to wait before reconnecting.
        delay_ms: u64,
    },
    /// `error`: a frame without `id` failed.
    Error {
        /// The frame's key.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// Why.
        #[serde(flatten)]
        refusal: Refusal,
    },
}

impl Signal {
    /// The frame's `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MessageStatus { .. } => "message:status",
            Self::UnreadUpdate { .. } => "unread:update",
            Self::ConversationCreated { .. } => "conversation:created",
            Self::SessionResumed(_) => "session:resumed",
            Self::SessionReconnect { .. } => "session:reconnect",
            Self::Error { .. } => "error",
        }
    }
}
