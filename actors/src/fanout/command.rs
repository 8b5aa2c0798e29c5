//! What a shard is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use bytes::Bytes;
use fanfare_protocol::{ConversationId, UserId};
use tokio::sync::Notify;

use super::format::{Feed, Format};
use super::run::Run;
use super::wire::Wire;

/// A socket's name, unique in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId {
    pub(super) shard: u16,
    pub(super) format: Format,
    pub(super) serial: u64,
}

impl SocketId {
    /// A number unique in the process, for command order.
    pub fn number(self) -> u64 {
        self.serial
    }

    /// The shard that owns its writes.
    pub fn shard(self) -> usize {
        usize::from(self.shard)
    }

    /// How its frames look.
    pub fn format(self) -> Format {
        self.format
    }
}

/// Ready frames of consecutive entries, with what else they mean.
#[derive(Debug, Clone)]
pub struct Frames {
    /// Conversation and format.
    pub feed: Feed,
    /// The frames.
    pub run: Arc<Run>,
    /// What the entries do to subscriptions and frames; `None`: nothing.
    pub ends: Option<Arc<Ends>>,
}

/// What entries end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends {
    /// Whose delivery ends with which seq (`None`: everybody's).
    pub users: Vec<(u64, Option<Vec<UserId>>)>,
    /// Seqs whose text was deleted: older frames of them are dropped.
    pub evicted: Vec<u64>,
}

/// Where a held subscription starts when it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Conversation.
    pub conversation: ConversationId,
    /// The first entry to write is the one behind this.
    pub seq: u64,
    /// The entry that made its user a member: what ended before it ended an
    /// earlier membership.
    pub joined_seq: u64,
}

/// How a socket is closed.
#[derive(Debug, Clone)]
pub struct Close {
    /// Close code (PROTOCOL, "Close codes").
    pub code: u16,
    /// For people and, for 4100–4199, the delay in milliseconds.
    pub reason: String,
}

impl Close {
    /// A code and its reason.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

/// What a shard reports about a socket. Must not block.
pub trait Watch: Send + Sync {
    /// A subscription ended with the entry that removed its user.
    fn ended(&self, conversation: ConversationId);
    /// A ping was sent: one `heartbeat_ms` went by.
    fn heartbeat(&self) {}
    /// The socket is closed: no more of it.
    fn closed(&self);
}

pub(super) enum Command {
    Attach {
        id: SocketId,
        wire: Wire,
        line: Arc<Line>,
        watch: Arc<dyn Watch>,
    },
    Identify {
        id: SocketId,
        user: UserId,
        expires_ms: u64,
    },
    Control {
        id: SocketId,
        frame: Bytes,
    },
    Beside {
        id: SocketId,
        conversation: ConversationId,
        frame: Bytes,
    },
    Hold {
        id: SocketId,
        conversation: ConversationId,
        head: u64,
        number: u64,
    },
    Release {
        id: SocketId,
        frame: Option<Bytes>,
        from: Vec<Start>,
    },
    Unsubscribe {
        id: SocketId,
        conversations: Vec<ConversationId>,
    },
    Close {
        id: SocketId,
        close: Close,
    },
    Gone {
        id: SocketId,
    },
    Entries(Frames),
    Head {
        feed: Feed,
        seq: u64,
    },
    Page {
        feed: Feed,
        page: u64,
        run: Option<Arc<Run>>,
    },
    Signal {
        feed: Feed,
        frame: Bytes,
    },
    Refollow(Box<dyn Fn(ConversationId) -> bool + Send>),
    CloseAll {
        close: Close,
        reconnect: Reconnect,
    },
}

/// Makes the frame that a socket gets last.
pub(super) type Reconnect = Box<dyn Fn(Format) -> Bytes + Send>;

/// What reader and shard share of a connection.
#[derive(Debug, Default)]
pub struct Line {
    /// When a byte last came, in monotonic milliseconds.
    pub(super) heard_ms: AtomicU64,
    /// Control bytes that wait to be written.
    pub(super) backlog_bytes: AtomicUsize,
    pub(super) drained: Notify,
    pub(super) over: AtomicBool,
    /// Everything is written, the close frame last, or nothing will be.
    pub(super) finished: AtomicBool,
}
