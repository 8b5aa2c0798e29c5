//! Conversations as one of their members sees them.

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::{ConversationId, Timestamp};

/// What sort of conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Two people; one per pair.
    Direct,
    /// Invited people, at most `group_members_max`.
    Group,
    /// Unbounded, with a slug.
    Channel,
}

/// Who may know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everybody may find it.
    Public,
    /// Only members.
    Private,
}

/// How one becomes a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinPolicy {
    /// By joining.
    Open,
    /// By being added.
    Invite,
}

/// A member's role, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Ordinary.
    Member,
    /// Deletes others' messages, removes members.
    Moderator,
    /// Changes the conversation, adds, promotes up to moderator.
    Admin,
    /// Everything; exactly one in groups and channels.
    Owner,
}

/// What the conversation is to the asker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// The asker's role.
    pub role: Role,
    /// Messages behind the read mark.
    pub unread: u64,
    /// Mentions behind the read mark.
    pub mentions: u64,
    /// The read mark.
    pub read_seq: u64,
    /// The first seq this member may see.
    pub from_seq: u64,
    /// End of the member's own mute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Timestamp>,
}

/// A conversation's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// Id.
    pub id: ConversationId,
    /// Sort.
    pub kind: Kind,
    /// Name shown to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Unique name of a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who may know of it.
    pub visibility: Visibility,
    /// How one becomes a member.
    pub join_policy: JoinPolicy,
    /// Active members.
    pub member_count: u64,
    /// The log's newest seq.
    pub head_seq: u64,
    /// Newest message that the asker may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Message>,
    /// Absent for somebody who is not a member of a public conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub me: Option<Me>,
    /// Creation.
    pub created_at: Timestamp,
}
