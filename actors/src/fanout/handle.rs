//! Handles to tell shards and sockets what to do.
//!
//! A shard's queue itself is unbounded; what may stand in it is not: replies
//! hold permits until they are queued, entries and signals are dropped past
//! `shard_queue_max` (and a head is owed), the rest is one per request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use fanfare_protocol::{ConversationId, UserId};
use tokio::sync::mpsc;

use super::command::{Close, Command, Frames, Line, SocketId, Start, Watch};
use super::format::{Feed, Format};
use super::run::Run;
use super::wire::Wire;

/// A connection, from the reader's and the session's side.
#[derive(Clone)]
pub struct SocketHandle {
    id: SocketId,
    shard: Arc<ShardQueue>,
    line: Arc<Line>,
}

/// One shard.
#[derive(Clone)]
pub struct ShardHandle(pub(super) Arc<ShardQueue>);

/// What waits for a shard.
pub(super) struct ShardQueue {
    pub sender: mpsc::UnboundedSender<Command>,
    pub queued: Arc<AtomicUsize>,
    pub queue_max: usize,
}

/// All shards of a node.
#[derive(Clone)]
pub struct Fanout {
    pub(super) shards: Arc<[ShardHandle]>,
    pub(super) serial: Arc<AtomicU64>,
}

impl ShardQueue {
    fn send(&self, command: Command) {
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
}

impl ShardHandle {
    /// New entries. Those that do not fit any more are dropped: who may read
    /// no further and whose text is gone is told all the same, the rest the
    /// shard pulls.
    pub fn entries(&self, frames: Frames) {
        if self.0.queued.load(Ordering::Relaxed) < self.0.queue_max {
            return self.0.send(Command::Entries(frames));
        }
        metrics::counter!("fanfare_shard_dropped_total").increment(1);
        let (feed, seq) = (frames.feed, frames.run.next_seq().saturating_sub(1));
        if frames.ends.is_some() {
            let run = Arc::new(Run::default());
            self.0.send(Command::Entries(Frames { run, ..frames }));
        }
        self.0.send(Command::Head { feed, seq });
    }

    /// How far the log is.
    pub fn head(&self, feed: Feed, seq: u64) -> bool {
        self.0.send_droppable(Command::Head { feed, seq })
    }

    /// Whoever is subscribed to these conversations follows them anew.
    pub fn refollow(&self, belongs: Box<dyn Fn(ConversationId) -> bool + Send>) {
        self.0.send(Command::Refollow(belongs));
    }

    /// A page that was asked for: frames of seqs `64·page + 1` and on. `None`
    /// when it could not be had: whoever needs it asks again.
    pub fn page(&self, feed: Feed, page: u64, run: Option<Arc<Run>>) {
        self.0.send(Command::Page { feed, page, run });
    }

    /// A fleeting frame for everybody subscribed.
    pub fn signal(&self, feed: Feed, frame: Bytes) {
        self.0.send_droppable(Command::Signal { feed, frame });
    }

    /// Registers a subscription, held until it is released. `head` is how
    /// far the relay knows the log; `number` comes back in [`Source::idle`],
    /// so that an older idleness ends no newer hold.
    ///
    /// [`Source::idle`]: super::Source::idle
    pub fn hold(&self, id: SocketId, conversation: ConversationId, head: u64, number: u64) {
        self.0.send(Command::Hold {
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
        format: Format,
        watch: impl FnOnce(&SocketHandle) -> Option<Arc<dyn Watch>>,
    ) -> Option<SocketHandle> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let at = usize::try_from(serial).unwrap_or(0) % self.shards.len().max(1);
        let id = SocketId {
            shard: u16::try_from(at).unwrap_or(0),
            format,
            serial,
        };
        let line = Arc::new(Line::default());
        line.heard_ms
            .store(crate::clock::monotonic_ms(), Ordering::Relaxed);
        let shard = Arc::clone(&self.shards.get(at)?.0);
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
    pub fn close_all(
        &self,
        close: &Close,
        reconnect: impl Fn(Format) -> Bytes + Send + Clone + 'static,
    ) {
        for shard in self.shards.iter() {
            let reconnect = Box::new(reconnect.clone());
            shard.0.send(Command::CloseAll {
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

    /// How its frames look.
    pub fn format(&self) -> Format {
        self.id.format
    }

    /// Queues a frame, ahead of entries that are not yet being written.
    pub fn send(&self, frame: Bytes) {
        self.line
            .backlog_bytes
            .fetch_add(frame.len(), Ordering::Relaxed);
        self.shard.send(Command::Control { id: self.id, frame });
    }

    /// Queues a frame that can wait a moment: where the conversation is
    /// subscribed to, it goes out with its next entries, at the latest after
    /// `BESIDE_MS`.
    pub fn send_beside(&self, conversation: ConversationId, frame: Bytes) {
        self.line
            .backlog_bytes
            .fetch_add(frame.len(), Ordering::Relaxed);
        self.shard.send(Command::Beside {
            id: self.id,
            conversation,
            frame,
        });
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

    /// Whether its unsent replies are below `bytes_max`, or none will follow.
    pub fn is_writable(&self, bytes_max: usize) -> bool {
        self.line.backlog_bytes.load(Ordering::Relaxed) <= bytes_max || self.is_over()
    }

    /// Waits until its unsent replies are below `bytes_max`.
    pub async fn writable(&self, bytes_max: usize) {
        self.drained(|| self.is_writable(bytes_max)).await;
    }

    /// Waits until everything is written and the writing side ended.
    pub async fn finished(&self) {
        let finished = &self.line.finished;
        self.drained(|| finished.load(Ordering::Relaxed)).await;
    }

    async fn drained(&self, enough: impl Fn() -> bool) {
        loop {
            let drained = self.line.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if enough() {
                return;
            }
            drained.await;
        }
    }
}
