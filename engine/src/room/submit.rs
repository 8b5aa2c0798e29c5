//! Commands as a room gets them, and what it answers.

use fanfare_protocol::command::Command;
use fanfare_protocol::message::{Message, ReactionCount};
use fanfare_protocol::reply::Reply;
use fanfare_protocol::user::User;
use fanfare_protocol::{MessageId, Refusal, Timestamp, UserId};

use crate::secret::Fingerprint;

/// A command on its way through a room.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The sender's name for it: answers carry it. Unique in the room.
    pub ticket: u64,
    /// Who asks.
    pub caller: UserId,
    /// What is asked.
    pub command: Command,
    /// Idempotency key in the clear (it is not secret).
    pub key: Option<String>,
    /// Stands for (caller, key).
    pub key_print: Option<Fingerprint>,
    /// Stands for the command.
    pub request: Fingerprint,
    /// What the gateway looked up beforehand.
    pub resolved: Resolved,
    /// Its place among the session's commands to this conversation.
    pub order: Option<Order>,
}

/// What the gateway looked up before the room decides.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// Records of the users the command names (to add, or whose role it
    /// changes; when handing over, the caller's too).
    pub users: Vec<User>,
    /// Users whose names stand in the text, members or not.
    pub mentions: Vec<UserId>,
    /// Whether the text names everybody.
    pub mentions_all: bool,
}

impl Resolved {
    /// The record of a user the command names.
    pub(super) fn user(&self, id: UserId) -> Result<User, Refusal> {
        let found = self.users.iter().find(|user| user.id == id);
        found.cloned().ok_or_else(|| Refusal::not_found("user"))
    }
}

/// A command's place among its session's commands to one conversation. A
/// room that misses one between hands the command back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Connection, unique on the node.
    pub session: u64,
    /// Number of this command, from 1.
    pub number: u64,
    /// Number of the oldest one not yet answered.
    pub oldest: u64,
}

/// A command that was durably accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// What came of it.
    pub done: Done,
    /// Whether it had been accepted before, under the same key.
    pub repeated: bool,
    /// Epoch of the log's head when it was answered.
    pub epoch: u64,
    /// Seq of the entry that made it so.
    pub seq: u64,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The message as it now is (sent or edited).
    Message(Box<Message>),
    /// The message is deleted.
    Deleted {
        /// Which.
        message: MessageId,
        /// Seq of the deletion.
        rev: u64,
        /// When.
        deleted_at: Timestamp,
    },
    /// The message's reactions as they now are.
    Reactions {
        /// Which.
        message: MessageId,
        /// Seq of the newest change.
        rev: u64,
        /// Counts.
        reactions: Vec<ReactionCount>,
    },
    /// What a repeated command sent or changed, and may no longer see: only
    /// its id, which names seq and epoch.
    Unreadable {
        /// Which.
        message: MessageId,
    },
    /// Nothing more to say: the caller reads what it needs.
    Applied,
}

impl From<Done> for Reply {
    fn from(done: Done) -> Self {
        match done {
            Done::Message(message) => Self::Message { message },
            Done::Deleted {
                message,
                rev,
                deleted_at,
            } => Self::MessageDeleted {
                message,
                rev,
                deleted_at,
            },
            Done::Reactions {
                message,
                rev,
                reactions,
            } => Self::MessageReactions {
                message,
                rev,
                reactions,
            },
            Done::Unreadable { message } => Self::MessagePlace {
                message,
                seq: message.seq,
                epoch: message.epoch,
            },
            Done::Applied => Self::Done {},
        }
    }
}
