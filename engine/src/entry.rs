//! Entries: the rows of a conversation's log as they mean something.

use fanfare_protocol::conversation::{JoinPolicy, Kind, Role, Visibility};
use fanfare_protocol::message::{MessageType, ReactionChange, ReactionCount};
use fanfare_protocol::participant::RemovalReason;
use fanfare_protocol::user::User;
use fanfare_protocol::{MessageId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::secret::Fingerprint;

/// One entry. It never changes, but that a deletion empties its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When the room took it.
    pub at: Timestamp,
    /// Who caused it (for gathered entries: the first of them).
    pub author: UserId,
    /// What happened.
    pub body: Body,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// The conversation began: always seq 1.
    Created(Created),
    /// A message was sent.
    MessageSent(MessageSent),
    /// A message got another text.
    MessageEdited(MessageEdited),
    /// A message lost its text.
    MessageDeleted(MessageDeleted),
    /// Reactions to one message, gathered over a tick.
    ReactionsChanged(ReactionsChanged),
    /// A member was added to a group.
    MemberAdded {
        /// The user as of then.
        user: User,
        /// As what.
        role: Role,
        /// Whether they see what was before.
        #[serde(default)]
        from_start: bool,
    },
    /// A member's role changed.
    MemberUpdated {
        /// The user as of then.
        user: User,
        /// New role.
        role: Role,
        /// Member since.
        joined_at: Timestamp,
    },
    /// A membership ended, in groups, and in channels when forced or when
    /// the member held a role.
    MemberRemoved {
        /// Who.
        user: UserId,
        /// Why.
        reason: RemovalReason,
        /// Active members after it.
        member_count: u64,
    },
    /// Plain members of a channel came and went, gathered.
    MembersMoved {
        /// Who came, at most 256.
        joined: Vec<Moved>,
        /// Who went, at most 256.
        left: Vec<Moved>,
        /// Whether who came sees what was before.
        #[serde(default)]
        from_start: bool,
        /// Active members after it.
        member_count: u64,
    },
    /// Fields of the conversation changed.
    ConversationUpdated(Fields),
    /// The conversation ended.
    ConversationDeleted,
}

/// See [`Body::Created`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Sort.
    pub kind: Kind,
    /// Name.
    pub title: Option<String>,
    /// Slug of a channel.
    pub slug: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Visibility.
    pub visibility: Visibility,
    /// Join policy.
    pub join_policy: JoinPolicy,
    /// First members, the owner first (direct: both plain members).
    pub members: Vec<(UserId, Role)>,
}

/// See [`Body::MessageSent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSent {
    /// Type.
    pub kind: MessageType,
    /// Text.
    pub text: String,
    /// What it answers.
    pub reply_to: Option<MessageId>,
    /// Members it names.
    pub mentions: Vec<UserId>,
    /// Whether it names everybody.
    pub mentions_all: bool,
    /// The author's key in the clear (it is not secret).
    pub key: Option<String>,
}

/// See [`Body::MessageEdited`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageEdited {
    /// Which message.
    pub message: MessageId,
    /// New text.
    pub text: String,
    /// Members it names now.
    pub mentions: Vec<UserId>,
    /// Members it named before and names no longer.
    #[serde(default)]
    pub withdrawn: Vec<UserId>,
    /// Edits so far, this one included.
    pub edit_count: u64,
}

/// See [`Body::MessageDeleted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageDeleted {
    /// Which message.
    pub message: MessageId,
    /// Seqs of its edits, emptied with it.
    pub edits: Vec<u64>,
    /// Members it named until then.
    #[serde(default)]
    pub withdrawn: Vec<UserId>,
}

/// See [`Body::ReactionsChanged`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionsChanged {
    /// Which message.
    pub message: MessageId,
    /// All counts after it.
    pub reactions: Vec<ReactionCount>,
    /// What changed.
    pub changes: Vec<ReactionChange>,
    /// Keys and requests of the commands gathered, parallel to `changes`.
    pub keys: Vec<Option<(Fingerprint, Fingerprint)>>,
}

/// A plain member who came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Who.
    pub user: UserId,
    /// Key and request of the command.
    pub key: Option<(Fingerprint, Fingerprint)>,
}

/// Fields of a conversation that changed; absent ones stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fields {
    /// Name.
    pub title: Option<String>,
    /// Description; empty removes it.
    pub description: Option<String>,
    /// Visibility.
    pub visibility: Option<Visibility>,
    /// Join policy.
    pub join_policy: Option<JoinPolicy>,
}

impl Body {
    /// Whether it counts as a message (`mno`).
    pub fn is_message(&self) -> bool {
        matches!(self, Self::MessageSent(_))
    }

    /// Whether it mentions everybody (`ano`).
    pub fn mentions_all(&self) -> bool {
        matches!(self, Self::MessageSent(sent) if sent.mentions_all)
    }
}
