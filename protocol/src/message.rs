//! Messages and what happened to them.

use serde::{Deserialize, Serialize};

use crate::{ConversationId, MessageId, Timestamp, UserId};

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    /// Text, at most `message_text_bytes_max`.
    #[default]
    Text,
}

/// How many chose one emoji.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReactionCount {
    /// The emoji (one grapheme cluster, at most `emoji_bytes_max`).
    pub emoji: String,
    /// How many users.
    pub count: u64,
    /// Whether the asker is among them (only in REST answers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub me: Option<bool>,
}

/// One user's change of one reaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReactionChange {
    /// Who.
    pub user: UserId,
    /// Which emoji.
    pub emoji: String,
    /// Set or taken back.
    pub on: bool,
}

/// A message. `rev` is the seq of the last entry that changed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Id.
    pub id: MessageId,
    /// Conversation.
    pub conversation: ConversationId,
    /// Place in the log.
    pub seq: u64,
    /// Epoch of its entry.
    pub epoch: u64,
    /// Seq of the last entry that changed it.
    pub rev: u64,
    /// Author.
    pub author: UserId,
    /// Type.
    #[serde(rename = "type")]
    pub kind: MessageType,
    /// Text; empty once deleted.
    pub text: String,
    /// What it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// Members it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
    /// Reactions by emoji, in order of first use.
    pub reactions: Vec<ReactionCount>,
    /// Newest edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    /// Number of edits.
    pub edit_count: u64,
    /// Deletion: the place stays, the text is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// When the server took it.
    pub sent_at: Timestamp,
    /// The author's idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// One wording of an edited message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageVersion {
    /// Text.
    pub text: String,
    /// Since when.
    pub at: Timestamp,
    /// Seq of the entry that set it.
    pub rev: u64,
}
