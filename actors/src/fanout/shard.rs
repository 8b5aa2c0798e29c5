//! The shard's task: takes commands, writes what is dirty, waits for
//! whatever comes first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fanfare_protocol::limits::{SHARD_COMMANDS_PER_TURN, SHARD_WRITES_PER_TURN, SHARDS_MAX};
use fanfare_protocol::{ConversationId, Limits};
use foldhash::fast::RandomState;
use metrics::{Counter, Gauge};
use slab::Slab;
use tokio::sync::mpsc;

use super::command::{Close, Command, Reconnect};
use super::conversation::Row;
use super::flush::Flushed;
use super::format::Feed;
use super::handle::{Fanout, ShardHandle, ShardQueue};
use super::socket::{Socket, Writable};
use super::timers::Timers;
use crate::clock::monotonic_ms;

/// Where shards get what lies behind their rings. Must not block.
pub trait Source: Send + Sync {
    /// A page is wanted; it arrives at [`ShardHandle::page`].
    fn fetch(&self, shard: usize, feed: Feed, page: u64);
    /// The relay of a subscribed conversation is a new one; the shard has
    /// had everything up to `head`.
    fn refollow(&self, shard: usize, feed: Feed, head: u64);
    /// Nobody on this shard is subscribed any more.
    /// `hold` is the number of the newest hold it knows.
    fn idle(&self, shard: usize, feed: Feed, hold: u64);
}

pub(super) struct Shard {
    pub(super) at: usize,
    pub(super) limits: Arc<Limits>,
    pub(super) source: Arc<dyn Source>,
    pub(super) sockets: Slab<Socket>,
    /// Serial of a socket → its key.
    pub(super) keys: HashMap<u64, u32, RandomState>,
    pub(super) rows: Slab<Row>,
    /// Conversation and format → key of the row.
    pub(super) places: HashMap<Feed, u32, RandomState>,
    /// Sockets with something to write; those with control frames first.
    pub(super) dirty: VecDeque<u32>,
    /// Large rows with a pass under way.
    pub(super) large: VecDeque<u32>,
    /// Large rows whose next pass begins then, in milliseconds; in order.
    pub(super) hot: VecDeque<(u64, u32)>,
    pub(super) writable: Arc<Writable>,
    pub(super) timers: Timers<(u32, u64)>,
    /// Pages in order of arrival, for the budget.
    pub(super) pages: VecDeque<(Feed, u64)>,
    /// Their number when they were swept.
    pub(super) pages_swept: usize,
    pub(super) held_bytes: isize,
    pub(super) bytes_max: isize,
    pub(super) flushed: Flushed,
    pub(super) counts: Counts,
    /// Every socket is closed like this, those to come as well.
    pub(super) draining: Option<(Reconnect, Close)>,
}

/// What a shard counts, told once a turn.
pub(super) struct Counts {
    pub writes: u64,
    pub entries: u64,
    pub bytes: u64,
    writes_total: Counter,
    entries_total: Counter,
    bytes_total: Counter,
    held: Gauge,
}

impl Counts {
    fn new(shard: usize) -> Self {
        Self {
            writes: 0,
            entries: 0,
            bytes: 0,
            writes_total: metrics::counter!("fanfare_socket_writes_total"),
            entries_total: metrics::counter!("fanfare_deliveries_total"),
            bytes_total: metrics::counter!("fanfare_socket_written_bytes_total"),
            held: metrics::gauge!("fanfare_ring_and_page_bytes", "shard" => shard.to_string()),
        }
    }

    fn tell(&mut self, held_bytes: isize) {
        if self.writes > 0 {
            self.writes_total
                .increment(std::mem::take(&mut self.writes));
            self.entries_total
                .increment(std::mem::take(&mut self.entries));
            self.bytes_total.increment(std::mem::take(&mut self.bytes));
        }
        self.held.set(held_bytes as f64);
    }
}

impl Fanout {
    /// Starts `shards` tasks (at most 64) that get pages from `source`.
    pub fn start(shards: usize, limits: &Arc<Limits>, source: Arc<dyn Source>) -> Self {
        let shards = shards.clamp(1, SHARDS_MAX);
        let handles = (0..shards).map(|at| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let queued = Arc::new(AtomicUsize::new(0));
            let shard = Shard::new(at, shards, limits, &source);
            tokio::spawn(shard.run(receiver, Arc::clone(&queued)));
            ShardHandle(Arc::new(ShardQueue {
                sender,
                queued,
                queue_max: limits.shard_queue_max,
            }))
        });
        Self {
            shards: handles.collect(),
            serial: Arc::new(AtomicU64::new(1)),
        }
    }
}

impl Shard {
    fn new(at: usize, shards: usize, limits: &Arc<Limits>, source: &Arc<dyn Source>) -> Self {
        let bytes_max = limits.rings_and_pages_bytes_max / shards;
        Self {
            at,
            limits: Arc::clone(limits),
            source: Arc::clone(source),
            sockets: Slab::new(),
            keys: HashMap::default(),
            rows: Slab::new(),
            places: HashMap::default(),
            dirty: VecDeque::new(),
            large: VecDeque::new(),
            hot: VecDeque::new(),
            writable: Arc::default(),
            timers: Timers::default(),
            pages: VecDeque::new(),
            pages_swept: 0,
            held_bytes: 0,
            bytes_max: isize::try_from(bytes_max).unwrap_or(isize::MAX),
            flushed: Flushed::default(),
            counts: Counts::new(at),
            draining: None,
        }
    }

    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        queued: Arc<AtomicUsize>,
    ) {
        let writable = Arc::clone(&self.writable);
        // Set only when something comes due earlier than it is set for.
        let alarm = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(alarm);
        let mut alarm_ms = 0;
        loop {
            let now_ms = monotonic_ms();
            let next_ms = self.next_ms();
            if next_ms.is_some_and(|next_ms| alarm_ms <= now_ms || next_ms < alarm_ms) {
                alarm_ms = next_ms.unwrap_or(alarm_ms).max(now_ms + 1);
                let left = Duration::from_millis(alarm_ms - now_ms);
                alarm.as_mut().reset(tokio::time::Instant::now() + left);
            }
            tokio::select! {
                biased;
                () = &mut alarm, if next_ms.is_some() => alarm_ms = 0,
                () = writable.notify.notified() => self.unblock(),
                command = commands.recv() => {
                    let Some(command) = command else { return };
                    queued.fetch_sub(1, Ordering::Relaxed);
                    self.obey(command);
                }
                () = std::future::ready(()), if self.has_work() => {}
            }
            for _ in 0..SHARD_COMMANDS_PER_TURN {
                let Ok(command) = commands.try_recv() else {
                    break;
                };
                queued.fetch_sub(1, Ordering::Relaxed);
                self.obey(command);
            }
            self.take_due(monotonic_ms());
            for _ in 0..SHARD_WRITES_PER_TURN {
                let Some(key) = self.dirty.pop_front() else {
                    break;
                };
                if let Some(socket) = self.sockets.get_mut(key as usize) {
                    socket.queued = false;
                    self.flush(key);
                }
            }
            if !self.large.is_empty() {
                self.advance_pass();
            }
            self.counts.tell(self.held_bytes);
            if self.has_work() {
                tokio::task::yield_now().await;
            }
        }
    }

    fn has_work(&self) -> bool {
        !self.dirty.is_empty() || !self.large.is_empty()
    }

    fn next_ms(&self) -> Option<u64> {
        let hot_ms = self.hot.front().map(|(due_ms, _)| *due_ms);
        self.timers.next_ms().into_iter().chain(hot_ms).min()
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
            } => self.identify(id.serial, user, expires_ms),
            Command::Control { id, frame } => self.control(id.serial, frame),
            Command::Beside {
                id,
                conversation,
                frame,
            } => self.beside(id, conversation, frame),
            Command::Hold {
                id,
                conversation,
                head,
                number,
            } => self.hold(id, conversation, head, number),
            Command::Release { id, frame, from } => self.release(id, frame, &from),
            Command::Unsubscribe { id, conversations } => {
                for conversation in conversations {
                    self.unsubscribe_from(id, conversation);
                }
            }
            Command::Close { id, close } => {
                if let Some(key) = self.key(id.serial) {
                    self.close(key, &close, false);
                }
            }
            Command::Gone { id } => {
                if let Some(key) = self.key(id.serial) {
                    self.remove(key);
                }
            }
            Command::Entries(frames) => self.entries(&frames),
            Command::Head { feed, seq } => self.head(feed, seq),
            Command::Page { feed, page, run } => self.page(feed, page, run),
            Command::Signal { feed, frame } => self.signal(feed, &frame),
            Command::Refollow(belongs) => self.refollow(&*belongs),
            Command::CloseAll { close, reconnect } => self.drain(close, reconnect),
        }
    }

    /// A new relay has taken over: it knows nothing of what was asked.
    fn refollow(&mut self, belongs: &dyn Fn(ConversationId) -> bool) {
        let mut waiting = Vec::new();
        for (at, row) in &mut self.rows {
            if belongs(row.feed.conversation) {
                self.source.refollow(self.at, row.feed, row.head);
                let waited = row.held.as_mut().map(|held| held.all_waited());
                waiting.extend(waited.map(|waited| (at, waited)));
            }
        }
        for (at, waited) in waiting {
            self.wake(u32::try_from(at).unwrap_or(u32::MAX), &waited);
        }
    }

    fn drain(&mut self, close: Close, reconnect: Reconnect) {
        self.draining = Some((reconnect, close));
        let keys: Vec<u32> = self.keys.values().copied().collect();
        for key in keys {
            self.send_away(key);
        }
    }

    pub(super) fn send_away(&mut self, key: u32) {
        let Some(socket) = self.sockets.get(key as usize) else {
            return;
        };
        if let Some((reconnect, close)) = &self.draining {
            let (frame, close): (Bytes, Close) = (reconnect(socket.format), close.clone());
            self.control_own(key, frame);
            self.close(key, &close, true);
        }
    }
}
