//! What replies hold, beside [`crate::frame::HelloReply`]: the `data` of
//! `{"re", "data"}`, one shape per request (docs/protocol.md).

use serde::Serialize;

use crate::conversation::Conversation;
use crate::cursor::Placed;
use crate::frame::HelloReply;
use crate::message::{Message, ReactionCount};
use crate::user::User;
use crate::{ConversationId, MessageId, SessionId, Timestamp};

/// The `data` of a reply.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Reply {
    /// `session:hello`.
    Hello(Box<HelloReply>),
    /// `session:resume`, `conversations:subscribe`.
    Placed(Placed),
    /// `session:info`.
    Info(Box<SessionInfo>),
    /// `message:send`, `message:edit`: the message as it is now.
    Message {
        /// Message.
        message: Box<Message>,
    },
    /// A repeated `message:send` or `message:edit` whose author may no
    /// longer read there: only where it stands.
    MessagePlace {
        /// Id.
        message: MessageId,
        /// Its place in the log.
        seq: u64,
        /// Epoch of its entry.
        epoch: u64,
    },
    /// `message:delete`.
    MessageDeleted {
        /// Which.
        message: MessageId,
        /// Seq of the deletion.
        rev: u64,
        /// When.
        deleted_at: Timestamp,
    },
    /// `message:react`, `message:unreact`: all counts after it.
    MessageReactions {
        /// Which.
        message: MessageId,
        /// Seq of the change.
        rev: u64,
        /// By emoji, in order of first use.
        reactions: Vec<ReactionCount>,
    },
    /// `message:read`: the mark after it, clamped to what one may see.
    Read {
        /// Where.
        conversation: ConversationId,
        /// Up to.
        read_seq: u64,
    },
    /// `message:delivered`: the mark after it.
    Delivered {
        /// Where.
        conversation: ConversationId,
        /// Up to.
        delivered_seq: u64,
    },
    /// `conversation:join`: the conversation as the new member sees it.
    Joined {
        /// Conversation.
        conversation: Box<Conversation>,
    },
    /// What there is nothing to say about: `session:ping`,
    /// `session:refresh`, `conversations:unsubscribe`, `conversation:leave`.
    Done {},
}

/// `session:info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    /// The session.
    pub session: SessionId,
    /// Who it speaks for.
    pub user: User,
    /// What it is subscribed to; where each stands, only events say.
    pub subscribed: Vec<ConversationId>,
    /// Since when.
    pub connected_at: Timestamp,
}
