//! What a shard is told, and handles to tell it.
//!
//! The queue itself is unbounded; what may stand in it is not: replies hold
//! permits until they are queued, entries and signals are dropped past
//! `shard_queue_max` (and a head is owed), the rest is one per request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use fanfare_protocol::{ConversationId, UserId};
use tokio::sync::{Notify, mpsc};

use super::wire::Wire;

/// A socket's name, unique in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId {
    pub(super) shard: u16,
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
}

/// Ready frames of consecutive entries.
#[derive(Debug, Clone)]
pub struct Frames {
    /// Conversation.
    pub conversation: ConversationId,
    /// Seq of the first.
    pub first_seq: u64,
    /// One ready frame each.
    pub frames: Vec<Bytes>,
    /// Whose delivery ends with which seq (`None`: everybody's).
    pub ends: Vec<(u64, Option<Vec<UserId>>)>,
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
    Entries(Arc<Frames>),
    Head {
        conversation: ConversationId,
        seq: u64,
    },
    Page {
        conversation: ConversationId,
        page: u64,
        frames: Arc<Vec<Bytes>>,
    },
    PageFailed {
        conversation: ConversationId,
        page: u64,
    },
    Evict {
        conversation: ConversationId,
        seqs: Vec<u64>,
    },
    Signal {
        conversation: ConversationId,
        frame: Bytes,
    },
    Refollow(Box<dyn Fn(ConversationId) -> bool + Send>),
    CloseAll {
        close: Close,
        reconnect: Box<dyn Fn() -> Bytes + Send>,
    },
}

/// What reader and shard share of a connection.
#[derive(Debug, Default)]
pub struct Line {
    /// When a byte last came, in monotonic milliseconds.
    pub(super) heard_ms: AtomicU64,
    /// Control bytes that wait to be written.
    pub(super) backlog_bytes: AtomicUsize,
    pub(super) drained: Notify,
    pub(super) over: AtomicBool,
}

/// A connection, from the reader's and the session's side.
#[derive(Clone)]
pub struct SocketHandle {
    id: SocketId,
    shard: ShardHandle,
    line: Arc<Line>,
}

/// One shard.
#[derive(Clone)]
pub struct ShardHandle {
    pub(super) sender: mpsc::UnboundedSender<Command>,
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) queue_max: usize,
}

/// All shards of a node.
#[derive(Clone)]
pub struct Fanout {
    pub(super) shards: Arc<[ShardHandle]>,
    pub(super) serial: Arc<AtomicU64>,
}

impl ShardHandle {
    pub(super) fn send(&self, command: Command) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        // A shard ends only with the process.
        if self.sender.send(command).is_err() {
            self.queued.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Sends what may be lost; `false` when it was dropped.
    fn send_droppable(&self, command: Command) -> bool {
        if self.queued.load(Ordering::Relaxed) >= self.queue_max {
            metrics::counter!("fanfare_shard_dropped_total").increment(1);
            return false;
        }
        self.send(command);
        true
    }

    /// New entries; `false` when they were dropped and a head is owed.
    pub fn entries(&self, frames: Arc<Frames>) -> bool {
        self.send_droppable(Command::Entries(frames))
    }

    /// How far the log is.
    pub fn head(&self, conversation: ConversationId, seq: u64) -> bool {
        self.send_droppable(Command::Head { conversation, seq })
    }

    /// Entries that were dropped: who may read no further and whose text is
    /// gone must not be lost with them, the rest the shard pulls.
    pub fn owed(&self, lost: &Frames) {
        let first_seq = lost.first_seq + lost.frames.len() as u64;
        let Frames {
            conversation,
            ends,
            evicted,
            ..
        } = lost.clone();
        let rest = Frames {
            conversation,
            first_seq,
            frames: Vec::new(),
            ends,
            evicted,
        };
        self.send(Command::Entries(Arc::new(rest)));
        self.send(Command::Head {
            conversation,
            seq: first_seq.saturating_sub(1),
        });
    }

    /// Whoever is subscribed to these conversations follows them anew.
    pub fn refollow(&self, belongs: Box<dyn Fn(ConversationId) -> bool + Send>) {
        self.send(Command::Refollow(belongs));
    }

    /// A page that was asked for: frames of seqs `64·page + 1` and on.
    pub fn page(&self, conversation: ConversationId, page: u64, frames: Arc<Vec<Bytes>>) {
        self.send(Command::Page {
            conversation,
            page,
            frames,
        });
    }

    /// A page that could not be had: whoever needs it asks again.
    pub fn page_failed(&self, conversation: ConversationId, page: u64) {
        self.send(Command::PageFailed { conversation, page });
    }

    /// Forget frames of these entries: their text was deleted.
    pub fn evict(&self, conversation: ConversationId, seqs: Vec<u64>) {
        self.send(Command::Evict { conversation, seqs });
    }

    /// A fleeting frame for everybody subscribed.
    pub fn signal(&self, conversation: ConversationId, frame: Bytes) {
        self.send_droppable(Command::Signal {
            conversation,
            frame,
        });
    }

    /// Registers a subscription, held until it is released. `head` is how
    /// far the relay knows the log; `number` comes back in [`Source::idle`],
    /// so that an older idleness ends no newer hold.
    ///
    /// [`Source::idle`]: super::Source::idle
    pub fn hold(&self, id: SocketId, conversation: ConversationId, head: u64, number: u64) {
        self.send(Command::Hold {
            id,
            conversation,
            head,
            number,
        });
    }
}

impl Fanout {
    /// The shard of a socket.
    pub fn shard(&self, shard: usize) -> Option<&ShardHandle> {
        self.shards.get(shard)
    }

    /// Hands a connection's writing side to a shard, in turn. `watch` makes
    /// whoever hears of the socket; without one it is not taken.
    pub fn attach(
        &self,
        wire: Wire,
        watch: impl FnOnce(&SocketHandle) -> Option<Arc<dyn Watch>>,
    ) -> Option<SocketHandle> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let at = usize::try_from(serial).unwrap_or(0) % self.shards.len().max(1);
        let id = SocketId {
            shard: u16::try_from(at).unwrap_or(0),
            serial,
        };
        let line = Arc::new(Line::default());
        line.heard_ms
            .store(crate::clock::monotonic_ms(), Ordering::Relaxed);
        let shard = self.shards.get(at)?.clone();
        let handle = SocketHandle {
            id,
            shard,
            line: Arc::clone(&line),
        };
        let watch = watch(&handle)?;
        handle.shard.send(Command::Attach {
            id,
            wire,
            line,
            watch,
        });
        Some(handle)
    }

    /// Every shard.
    pub fn shards(&self) -> &[ShardHandle] {
        &self.shards
    }

    /// Closes every socket, each after a frame of its own.
    pub fn close_all(&self, close: &Close, reconnect: impl Fn() -> Bytes + Send + Clone + 'static) {
        for shard in self.shards.iter() {
            let reconnect = Box::new(reconnect.clone());
            shard.send(Command::CloseAll {
                close: close.clone(),
                reconnect,
            });
        }
    }
}

impl SocketHandle {
    /// Its name.
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// Queues a frame, ahead of entries that are not yet being written.
    pub fn send(&self, frame: Bytes) {
        self.line
            .backlog_bytes
            .fetch_add(frame.len(), Ordering::Relaxed);
        self.shard.send(Command::Control { id: self.id, frame });
    }

    /// Queues a frame, then releases subscriptions, each from behind the
    /// given seq: what the frame says is true of what follows it.
    pub fn release(&self, frame: Option<Bytes>, from: Vec<Start>) {
        let bytes = frame.as_ref().map_or(0, Bytes::len);
        self.line.backlog_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shard.send(Command::Release {
            id: self.id,
            frame,
            from,
        });
    }

    /// Ends subscriptions.
    pub fn unsubscribe(&self, conversations: Vec<ConversationId>) {
        self.shard.send(Command::Unsubscribe {
            id: self.id,
            conversations,
        });
    }

    /// Says who it is and, in monotonic milliseconds, until when.
    pub fn identify(&self, user: UserId, expires_ms: u64) {
        self.shard.send(Command::Identify {
            id: self.id,
            user,
            expires_ms,
        });
    }

    /// Closes it after what is queued.
    pub fn close(&self, close: Close) {
        self.shard.send(Command::Close { id: self.id, close });
    }

    /// The peer is gone: forget the socket.
    pub fn gone(&self) {
        self.shard.send(Command::Gone { id: self.id });
    }

    /// Bytes came: the peer is alive.
    pub fn heard(&self) {
        self.line
            .heard_ms
            .store(crate::clock::monotonic_ms(), Ordering::Relaxed);
    }

    /// Whether the socket is being closed: what comes in is not read any more.
    pub fn is_over(&self) -> bool {
        self.line.over.load(Ordering::Relaxed)
    }

    /// Waits until its unsent replies are below `bytes_max`.
    pub async fn writable(&self, bytes_max: usize) {
        loop {
            let drained = self.line.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.line.backlog_bytes.load(Ordering::Relaxed) <= bytes_max || self.is_over() {
                return;
            }
            drained.await;
        }
    }
}
