//! The shard's task: takes commands, writes what is dirty, looks after
//! sockets that block, fall silent or run out of time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use fanfare_protocol::limits::{CLOSE_MS_MAX, SHARD_WRITES_PER_TURN, SHARDS_MAX, SWEEP_MS};
use fanfare_protocol::{ConversationId, Limits};
use tokio::sync::mpsc;

use super::command::{Close, Command, Fanout, Line, ShardHandle, SocketId};
use super::conversation::Row;
use super::flush::flush;
use super::framing::{close_frame, ping_frame};
use super::socket::{Closing, Socket, SocketWaker, Writable};
use crate::clock::monotonic_ms;

/// Where shards get what lies behind their rings. Must not block.
pub trait Source: Send + Sync {
    /// A page is wanted; it arrives at [`ShardHandle::page`].
    fn fetch(&self, shard: usize, conversation: ConversationId, page: u64);
    /// The relay of a subscribed conversation is a new one; the shard has
    /// had everything up to `head`.
    fn refollow(&self, shard: usize, conversation: ConversationId, head: u64);
    /// Nobody on this shard is subscribed any more.
    /// `hold` is the number of the newest hold it knows.
    fn idle(&self, shard: usize, conversation: ConversationId, hold: u64);
}

pub(super) struct Shard {
    pub(super) at: usize,
    pub(super) limits: Arc<Limits>,
    pub(super) source: Arc<dyn Source>,
    pub(super) sockets: HashMap<u64, Socket>,
    pub(super) rows: HashMap<ConversationId, Row>,
    /// Sockets with something to write; those with control frames first.
    pub(super) dirty: VecDeque<u64>,
    pub(super) writable: Arc<Writable>,
    /// Pages in order of arrival, for the budget.
    pub(super) pages: VecDeque<(ConversationId, u64)>,
    /// Their number when they were swept.
    pub(super) pages_swept: usize,
    pub(super) held_bytes: isize,
    pub(super) bytes_max: isize,
    /// Every socket is closed like this, those to come as well.
    draining: Option<Draining>,
}

/// The frame that a socket gets last, and how it is closed.
type Draining = (Box<dyn Fn() -> Bytes + Send>, Close);

impl Fanout {
    /// Starts `shards` tasks (at most 64) that get pages from `source`.
    pub fn start(shards: usize, limits: &Arc<Limits>, source: Arc<dyn Source>) -> Self {
        let (handles, receivers): (Vec<_>, Vec<_>) = (0..shards.clamp(1, SHARDS_MAX))
            .map(|_| {
                let (sender, receiver) = mpsc::unbounded_channel();
                let queued = Arc::new(AtomicUsize::new(0));
                let queue_max = limits.shard_queue_max;
                (
                    ShardHandle {
                        sender,
                        queued: Arc::clone(&queued),
                        queue_max,
                    },
                    (receiver, queued),
                )
            })
            .unzip();
        let fanout = Self {
            shards: handles.into(),
            serial: Arc::new(AtomicU64::new(1)),
        };
        let bytes_max = limits.rings_and_pages_bytes_max / receivers.len().max(1);
        for (at, (receiver, queued)) in receivers.into_iter().enumerate() {
            let shard = Shard {
                at,
                limits: Arc::clone(limits),
                source: Arc::clone(&source),
                sockets: HashMap::new(),
                rows: HashMap::new(),
                dirty: VecDeque::new(),
                writable: Arc::default(),
                pages: VecDeque::new(),
                pages_swept: 0,
                draining: None,
                held_bytes: 0,
                bytes_max: isize::try_from(bytes_max).unwrap_or(isize::MAX),
            };
            tokio::spawn(shard.run(receiver, queued));
        }
        fanout
    }
}

impl Shard {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        queued: Arc<AtomicUsize>,
    ) {
        let mut sweep = tokio::time::interval(Duration::from_millis(SWEEP_MS));
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let writable = Arc::clone(&self.writable);
        loop {
            tokio::select! {
                biased;
                _ = sweep.tick() => self.sweep(),
                () = writable.notify.notified() => self.unblock(),
                command = commands.recv() => {
                    let Some(command) = command else { return };
                    queued.fetch_sub(1, Ordering::Relaxed);
                    self.obey(command);
                }
                () = std::future::ready(()), if !self.dirty.is_empty() => {}
            }
            for _ in 0..SHARD_WRITES_PER_TURN {
                let Ok(command) = commands.try_recv() else {
                    break;
                };
                queued.fetch_sub(1, Ordering::Relaxed);
                self.obey(command);
            }
            for _ in 0..SHARD_WRITES_PER_TURN {
                let Some(serial) = self.dirty.pop_front() else {
                    break;
                };
                self.flush(serial);
            }
            if !self.dirty.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Attach {
                id,
                wire,
                line,
                watch,
            } => self.attach(id, wire, line, watch),
            Command::Identify {
                id,
                user,
                expires_ms,
            } => {
                if let Some(socket) = self.sockets.get_mut(&id.serial) {
                    socket.user = Some(user);
                    socket.expires_ms = Some(expires_ms);
                }
            }
            Command::Control { id, frame } => self.control(id.serial, frame),
            Command::Hold {
                id,
                conversation,
                head,
                number,
            } => {
                self.hold(id.serial, conversation, head, number);
            }
            Command::Release { id, frame, from } => self.release(id.serial, frame, from),
            Command::Unsubscribe { id, conversations } => {
                for conversation in conversations {
                    self.unsubscribe(id.serial, conversation);
                }
            }
            Command::Close { id, close } => self.close(id.serial, &close, false),
            Command::Gone { id } => self.remove(id.serial),
            Command::Entries(frames) => self.entries(&frames),
            Command::Head { conversation, seq } => self.head(conversation, seq),
            Command::Page {
                conversation,
                page,
                frames,
            } => self.page(conversation, page, frames),
            Command::PageFailed { conversation, page } => {
                let row = self.rows.get_mut(&conversation);
                let waited = row.map(|row| row.fail_page(page)).unwrap_or_default();
                self.wake(conversation, &waited);
            }
            Command::Evict { conversation, seqs } => {
                if let Some(row) = self.rows.get_mut(&conversation) {
                    self.held_bytes -= row.evict(&seqs).cast_signed();
                }
            }
            Command::Signal {
                conversation,
                frame,
            } => self.signal(conversation, &frame),
            Command::Refollow(belongs) => {
                self.refollow(&*belongs);
            }
            Command::CloseAll { close, reconnect } => {
                self.draining = Some((reconnect, close));
                let serials: Vec<u64> = self.sockets.keys().copied().collect();
                for serial in serials {
                    self.send_away(serial);
                }
            }
        }
    }

    /// A new relay has taken over: it knows nothing of what was asked.
    fn refollow(&mut self, belongs: &dyn Fn(ConversationId) -> bool) {
        let mut waiting = Vec::new();
        for (conversation, row) in self.rows.iter_mut().filter(|it| belongs(*it.0)) {
            self.source.refollow(self.at, *conversation, row.head);
            waiting.push((*conversation, row.fail_pages()));
        }
        for (conversation, waited) in waiting {
            self.wake(conversation, &waited);
        }
    }

    fn send_away(&mut self, serial: u64) {
        if let Some((reconnect, close)) = &self.draining {
            let (frame, close) = (reconnect(), close.clone());
            self.control_own(serial, frame);
            self.close(serial, &close, true);
        }
    }

    // --- sockets -----------------------------------------------------------

    fn attach(
        &mut self,
        id: SocketId,
        wire: super::wire::Wire,
        line: Arc<Line>,
        watch: Arc<dyn super::command::Watch>,
    ) {
        let writable = Arc::clone(&self.writable);
        let waker = Waker::from(Arc::new(SocketWaker {
            serial: id.serial,
            writable,
        }));
        let now_ms = monotonic_ms();
        metrics::gauge!("fanfare_sockets").increment(1.0);
        self.sockets.insert(
            id.serial,
            Socket {
                wire,
                line,
                watch,
                waker,
                user: None,
                opened_ms: now_ms,
                expires_ms: None,
                pinged_ms: now_ms,
                subscriptions: HashMap::new(),
                dirty: VecDeque::new(),
                control: VecDeque::new(),
                partial: None,
                queued: false,
                blocked_ms: None,
                closing: None,
            },
        );
        self.send_away(id.serial);
    }

    /// A frame whose bytes its sender has counted already.
    pub(super) fn control(&mut self, serial: u64, frame: Bytes) {
        let Some(socket) = self.sockets.get_mut(&serial) else {
            return;
        };
        socket.control.push_back(frame);
        if socket.closing.is_some() {
            socket.pop_last_control();
        } else if socket.backlog_bytes() > 2 * self.limits.control_queue_bytes_max {
            self.close(serial, &Close::new(4000, "slow consumer"), false);
        } else {
            self.queue(serial, true);
        }
    }

    /// A frame of the shard's own.
    pub(super) fn control_own(&mut self, serial: u64, frame: Bytes) {
        if let Some(socket) = self.sockets.get(&serial) {
            socket
                .line
                .backlog_bytes
                .fetch_add(frame.len(), Ordering::Relaxed);
            self.control(serial, frame);
        }
    }

    pub(super) fn queue(&mut self, serial: u64, first: bool) {
        let Some(socket) = self.sockets.get_mut(&serial) else {
            return;
        };
        if socket.queued || socket.blocked_ms.is_some() {
            return;
        }
        socket.queued = true;
        if first {
            self.dirty.push_front(serial);
        } else {
            self.dirty.push_back(serial);
        }
    }

    fn unblock(&mut self) {
        let serials = std::mem::take(&mut *self.writable.serials.lock());
        for serial in serials {
            if let Some(socket) = self.sockets.get_mut(&serial) {
                socket.blocked_ms = None;
                self.queue(serial, false);
            }
        }
    }

    fn flush(&mut self, serial: u64) {
        let Some(socket) = self.sockets.get_mut(&serial) else {
            return;
        };
        socket.queued = false;
        let flushed = flush(socket, &self.rows, monotonic_ms());
        if flushed.broken {
            self.remove(serial);
            return;
        }
        let done = socket.partial.is_none() && socket.control.is_empty();
        if let Some(closing) = socket.closing.as_mut().filter(|it| done && !it.finished) {
            closing.finished = true;
            socket.wire.finish();
        }
        if flushed.more {
            self.queue(serial, false);
        }
        for conversation in flushed.caught_up {
            if let Some(row) = self.rows.get_mut(&conversation) {
                row.behind = row.behind.saturating_sub(1);
                self.held_bytes -= row.settle().cast_signed();
            }
        }
        for conversation in flushed.ended {
            self.unsubscribe(serial, conversation);
            if let Some(socket) = self.sockets.get(&serial) {
                socket.watch.ended(conversation);
            }
        }
        for (conversation, page) in flushed.wanted {
            if let Some(row) = self.rows.get_mut(&conversation)
                && row.wait_for(page, serial)
            {
                self.source.fetch(self.at, conversation, page);
            }
        }
    }

    /// Begins to close. With `after_queue` what waits is still written.
    fn close(&mut self, serial: u64, close: &Close, after_queue: bool) {
        let Some(socket) = self.sockets.get_mut(&serial) else {
            return;
        };
        if socket.closing.is_some() {
            return;
        }
        metrics::counter!("fanfare_closes_total", "code" => close.code.to_string()).increment(1);
        socket.dirty.clear();
        if !after_queue && socket.blocked_ms.is_some() {
            socket.forget_queue();
        }
        let frame = close_frame(close.code, &close.reason);
        socket
            .line
            .backlog_bytes
            .fetch_add(frame.len(), Ordering::Relaxed);
        socket.control.push_back(frame);
        socket.closing = Some(Closing {
            deadline_ms: monotonic_ms() + CLOSE_MS_MAX,
            finished: false,
        });
        socket.line.over.store(true, Ordering::Relaxed);
        socket.line.drained.notify_waiters();
        let conversations: Vec<ConversationId> = socket.subscriptions.keys().copied().collect();
        for conversation in conversations {
            self.unsubscribe(serial, conversation);
        }
        self.queue(serial, true);
    }

    fn remove(&mut self, serial: u64) {
        let Some(socket) = self.sockets.get(&serial) else {
            return;
        };
        let conversations: Vec<ConversationId> = socket.subscriptions.keys().copied().collect();
        for conversation in conversations {
            self.unsubscribe(serial, conversation);
        }
        if let Some(socket) = self.sockets.remove(&serial) {
            metrics::gauge!("fanfare_sockets").decrement(1.0);
            socket.line.over.store(true, Ordering::Relaxed);
            socket.line.drained.notify_waiters();
            socket.wire.abort();
            socket.watch.closed();
        }
    }

    fn sweep(&mut self) {
        let now_ms = monotonic_ms();
        let (mut closes, mut removes, mut pings) = (Vec::new(), Vec::new(), Vec::new());
        for (serial, socket) in &mut self.sockets {
            let limits = &self.limits;
            let heard_ms = socket.line.heard_ms.load(Ordering::Relaxed);
            let late = |since: u64, ms: u64| now_ms >= since + ms;
            if let Some(closing) = socket.closing {
                if now_ms >= closing.deadline_ms {
                    removes.push(*serial);
                }
            } else if socket
                .blocked_ms
                .is_some_and(|at| late(at, limits.slow_reader_ms_max))
            {
                closes.push((*serial, Close::new(4000, "slow consumer")));
            } else if socket.user.is_none() && late(socket.opened_ms, limits.hello_ms_max) {
                closes.push((*serial, Close::new(1008, "no session:hello in time")));
            } else if socket.expires_ms.is_some_and(|at| now_ms >= at) {
                closes.push((*serial, Close::new(4200, "token expired")));
            } else if late(heard_ms, 2 * limits.heartbeat_ms) {
                closes.push((*serial, Close::new(4001, "idle")));
            } else if late(socket.pinged_ms, limits.heartbeat_ms) {
                socket.pinged_ms = now_ms;
                pings.push(*serial);
            }
        }
        for serial in pings {
            self.control_own(serial, ping_frame());
        }
        for (serial, close) in closes {
            self.close(serial, &close, false);
        }
        for serial in removes {
            self.remove(serial);
        }
        metrics::gauge!("fanfare_ring_and_page_bytes", "shard" => self.at.to_string())
            .set(self.held_bytes as f64);
    }
}
