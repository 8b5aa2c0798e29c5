//! What clients ask for inside one conversation: the same commands whether
//! they come over REST or WebSocket.

use serde::{Deserialize, Serialize};

use crate::conversation::{JoinPolicy, Kind, Role, Visibility};
use crate::mark::MarkKind;
use crate::message::MessageType;
use crate::{ConversationId, MessageId, UserId, strict};

/// A command to one conversation. Commands are imperative; what comes of
/// them is an [`crate::event::Event`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "command", content = "data")]
pub enum Command {
    /// Creates the conversation itself (its log's first entry).
    Create(CreateConversation),
    /// Sends a message.
    SendMessage(SendMessage),
    /// Changes a message's text.
    EditMessage(EditMessage),
    /// Removes a message's text, everywhere.
    DeleteMessage(DeleteMessage),
    /// Sets or takes back a reaction.
    React(React),
    /// Becomes a member.
    Join,
    /// Ends one's membership.
    Leave,
    /// Adds members.
    AddParticipants(AddParticipants),
    /// Changes a member's role.
    UpdateParticipant(UpdateParticipant),
    /// Removes a member.
    RemoveParticipant(RemoveParticipant),
    /// Changes the conversation's fields.
    UpdateConversation(UpdateConversation),
    /// Ends the conversation for everybody.
    DeleteConversation,
}

/// `POST /conversations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateConversation {
    /// Sort.
    #[serde(deserialize_with = "strict::word")]
    pub kind: Kind,
    /// Name; required for groups and channels.
    #[serde(default)]
    pub title: Option<String>,
    /// Unique name; channels only, required.
    #[serde(default)]
    pub slug: Option<String>,
    /// What it is about.
    #[serde(default)]
    pub description: Option<String>,
    /// First members beside the creator; exactly one for `direct`.
    #[serde(default)]
    pub participant_ids: Vec<UserId>,
    /// Channels only; default public.
    #[serde(default, deserialize_with = "strict::word_if_any")]
    pub visibility: Option<Visibility>,
    /// Channels only; default open when public, invite when private.
    #[serde(default, deserialize_with = "strict::word_if_any")]
    pub join_policy: Option<JoinPolicy>,
}

/// `message:send`, `POST /conversations/:id/messages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendMessage {
    /// Text, kept byte for byte.
    pub text: String,
    /// A message of the same conversation.
    #[serde(default)]
    pub reply_to: Option<MessageId>,
    /// Type.
    #[serde(default, rename = "type", deserialize_with = "strict::word")]
    pub kind: MessageType,
}

/// `message:edit`, `PATCH /messages/:id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EditMessage {
    /// Which.
    pub message: MessageId,
    /// New text.
    pub text: String,
}

/// `message:delete`, `DELETE /messages/:id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteMessage {
    /// Which.
    pub message: MessageId,
}

/// `message:react` (on) and `message:unreact` (off).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct React {
    /// Which message.
    pub message: MessageId,
    /// Which emoji.
    pub emoji: String,
    /// Set or take back.
    pub on: bool,
}

/// `POST /conversations/:id/participants`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddParticipants {
    /// Whom.
    pub user_ids: Vec<UserId>,
    /// As what; default member.
    #[serde(default, deserialize_with = "strict::word_if_any")]
    pub role: Option<Role>,
}

/// `PATCH /conversations/:id/participants/:userId`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateParticipant {
    /// Whose.
    pub user: UserId,
    /// New role; `owner` hands the conversation over.
    #[serde(deserialize_with = "strict::word")]
    pub role: Role,
}

/// `DELETE /conversations/:id/participants/:userId`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoveParticipant {
    /// Whom.
    pub user: UserId,
}

/// `PATCH /conversations/:id`; absent fields stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateConversation {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// New description; empty removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Channels only.
    #[serde(
        default,
        deserialize_with = "strict::word_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub visibility: Option<Visibility>,
    /// Channels only.
    #[serde(
        default,
        deserialize_with = "strict::word_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub join_policy: Option<JoinPolicy>,
}

/// `message:delivered`, `message:read`, `POST /conversations/:id/read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveMark {
    /// Where.
    pub conversation: ConversationId,
    /// Which mark.
    pub kind: MarkKind,
    /// Up to and including.
    pub seq: u64,
}
