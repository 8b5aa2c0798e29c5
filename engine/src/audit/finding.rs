//! What is wrong, where.

use fanfare_protocol::{ConversationId, UserId};
use serde::Serialize;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// In which conversation.
    pub conversation: ConversationId,
    /// At which row; 0: of the conversation as a whole.
    pub seq: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// Rows that were durable are not there; what follows was not looked at.
    #[error("the row is missing, though the log went on to {confirmed}")]
    RowMissing {
        /// Up to where the log is known to have gone.
        confirmed: u64,
    },
    /// The bytes are none of ours.
    #[error("{part} cannot be read")]
    Damaged {
        /// Of what.
        part: &'static str,
    },
    /// Another epoch owns the seq.
    #[error("the row is of epoch {epoch}, its seq belongs to {owner:?}")]
    ForeignEpoch {
        /// Of the row.
        epoch: u64,
        /// Of the seq.
        owner: Option<u64>,
    },
    /// A later epoch begins below an earlier one.
    #[error("epoch {epoch} begins below where epoch {earlier} began")]
    EpochsOverlap {
        /// The later.
        epoch: u64,
        /// The earlier.
        earlier: u64,
    },
    /// `mno` or `ano` is wrong.
    #[error("{column} is {stored}, counted {counted}")]
    Count {
        /// Which.
        column: &'static str,
        /// What the row says.
        stored: u64,
        /// What the rows before it come to.
        counted: u64,
    },
    /// One key made two entries within the time that it is remembered.
    #[error("its key made row {first} too")]
    KeyTwice {
        /// The earlier row.
        first: u64,
    },
    /// The head row names a row that is not there.
    #[error("the head row stands at {head}, the log ends here")]
    HeadAhead {
        /// Where it stands.
        head: u64,
    },
    /// The head row says something else than the row it names.
    #[error("the head row has another {column} than its row")]
    HeadDiffers {
        /// Which column.
        column: &'static str,
    },
    /// A message is not what later entries made of it.
    #[error("the message's state is not what its log makes of it")]
    StateDiffers,
    /// An entry changed a message, whose state is empty.
    #[error("entry {by} changed the message, its state is empty")]
    StateMissing {
        /// The entry.
        by: u64,
    },
    /// A deletion left a text behind.
    #[error("entry {by} deleted it, its text is still there")]
    TextLeft {
        /// The deletion.
        by: u64,
    },
    /// A membership is not what the log makes of it.
    #[error("the membership of {user} is not what the log makes of it")]
    MemberDiffers {
        /// Whose.
        user: UserId,
    },
    /// A membership is not there.
    #[error("the membership of {user} is missing")]
    MemberMissing {
        /// Whose.
        user: UserId,
    },
    /// Nobody added this member.
    #[error("{user} is a member whom no entry added")]
    MemberUnknown {
        /// Whose.
        user: UserId,
    },
    /// The membership differs from the side of the user.
    #[error("the list of conversations of {user} says something else")]
    SidesDiffer {
        /// Whose.
        user: UserId,
    },
    /// The conversation's own record is not what the log makes of it.
    #[error("the record is not what the log makes of it")]
    RecordDiffers,
    /// A message names somebody, and nothing says so.
    #[error("the message names {user}, which is not noted")]
    MentionMissing {
        /// Whom.
        user: UserId,
    },
    /// A note says that a message names somebody, and it does not.
    #[error("a note says that the message names {user}")]
    MentionLeft {
        /// Whom.
        user: UserId,
    },
    /// A mark has other running numbers than its row: unread counts are off.
    #[error("the read mark of {user} counts {stored:?} messages and mentions, its row {counted:?}")]
    MarkCounts {
        /// Whose.
        user: UserId,
        /// `mno` and `ano` of the mark.
        stored: (u64, u64),
        /// Those of the row.
        counted: (u64, u64),
    },
    /// A mark stands behind the end of the log.
    #[error("a mark of {user} stands behind the end of the log")]
    MarkAhead {
        /// Whose.
        user: UserId,
    },
    /// A row that a reader was shown is gone.
    #[error("a row of epoch {epoch} that was shown is gone")]
    Vanished {
        /// Its epoch.
        epoch: u64,
    },
    /// A row that a reader was shown says something else now.
    #[error("a row of epoch {before} that was shown has other content, of epoch {now}")]
    Changed {
        /// Its epoch when it was shown.
        before: u64,
        /// Its epoch now.
        now: u64,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.seq {
            0 => write!(f, "{}: {}", self.conversation, self.what),
            seq => write!(f, "{} seq {seq}: {}", self.conversation, self.what),
        }
    }
}
