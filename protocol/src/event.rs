//! Entries as clients see them. An event is a pure function of its entry:
//! ring, pull and replay give the same bytes, except that text deleted since
//! is empty.

use serde::Serialize;

use crate::conversation::{JoinPolicy, Kind, Visibility};
use crate::message::{Message, ReactionChange, ReactionCount};
use crate::participant::{Participant, RemovalReason};
use crate::{MessageId, Timestamp, UserId};

/// One numbered event of a conversation. Events are past tense; change
/// events carry only what changed, as absolute values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Event {
    /// `message:received`.
    MessageReceived {
        /// The message as it was sent.
        message: Message,
    },
    /// `message:edited`.
    MessageEdited {
        /// Which.
        message: MessageId,
        /// Seq of this change.
        rev: u64,
        /// New text.
        text: String,
        /// Members it names now.
        mentions: Vec<UserId>,
        /// When.
        edited_at: Timestamp,
        /// Edits so far.
        edit_count: u64,
    },
    /// `message:deleted`.
    MessageDeleted {
        /// Which.
        message: MessageId,
        /// Seq of this change.
        rev: u64,
        /// When.
        deleted_at: Timestamp,
    },
    /// `message:reactions`.
    MessageReactions {
        /// Which.
        message: MessageId,
        /// Seq of this change.
        rev: u64,
        /// All counts after it.
        reactions: Vec<ReactionCount>,
        /// Who changed what.
        changes: Vec<ReactionChange>,
    },
    /// `participant:added`.
    ParticipantAdded {
        /// The member as of then.
        participant: Participant,
    },
    /// `participant:updated`.
    ParticipantUpdated {
        /// The member as of then.
        participant: Participant,
    },
    /// `participant:removed`.
    ParticipantRemoved {
        /// Who.
        user: UserId,
        /// Why.
        reason: RemovalReason,
        /// By whom, when not by themselves.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<UserId>,
    },
    /// `conversation:updated`.
    ConversationUpdated(ConversationChange),
    /// `conversation:deleted`.
    ConversationDeleted {
        /// By whom.
        by: UserId,
    },
}

/// The fields of a conversation that changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConversationChange {
    /// Sort (at creation).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Slug (at creation).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// Description; empty when removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Visibility.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// Join policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_policy: Option<JoinPolicy>,
    /// Active members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_count: Option<u64>,
}

impl Event {
    /// The frame's `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MessageReceived { .. } => "message:received",
            Self::MessageEdited { .. } => "message:edited",
            Self::MessageDeleted { .. } => "message:deleted",
            Self::MessageReactions { .. } => "message:reactions",
            Self::ParticipantAdded { .. } => "participant:added",
            Self::ParticipantUpdated { .. } => "participant:updated",
            Self::ParticipantRemoved { .. } => "participant:removed",
            Self::ConversationUpdated(_) => "conversation:updated",
            Self::ConversationDeleted { .. } => "conversation:deleted",
        }
    }
}
