//! A socket as its shard knows it: cursors, what waits, where writing stands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Wake, Waker};

use bytes::Bytes;
use fanfare_protocol::UserId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::command::{Line, Watch};
use super::format::Format;
use super::wire::Wire;

/// A subscription: one cursor.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Its row's key.
    pub row: u32,
    /// Its place among the row's subscribers.
    pub place: u32,
    /// Next seq to write.
    pub next_seq: u64,
    /// The entry that made the user a member.
    pub joined_seq: u64,
    /// `None` for who stays, which is nearly everybody.
    ending: Option<Box<Ending>>,
    /// Registered, not yet released: nothing is written.
    pub held: bool,
    /// Counted in the conversation's `behind`.
    pub behind: bool,
    /// Listed in the socket's dirty list.
    pub listed: bool,
    /// Waits for a page: not listed before it is there.
    pub waits: bool,
}

#[derive(Debug, Default)]
struct Ending {
    /// Last seq to write: the entry that removed the user.
    end_seq: Option<u64>,
    /// While it is held: entries that removed the user, perhaps before this
    /// membership began.
    removals: Vec<u64>,
}

/// One connection's writing side.
pub(super) struct Socket {
    pub serial: u64,
    pub format: Format,
    /// Listed in the shard's queue.
    pub queued: bool,
    pub wire: Wire,
    pub line: Arc<Line>,
    pub watch: Arc<dyn Watch>,
    pub user: Option<UserId>,
    pub opened_ms: u64,
    /// End of its token and grace.
    pub expires_ms: Option<u64>,
    /// When the next ping is sent.
    pub ping_ms: u64,
    /// When the frames are written that can wait for others.
    pub beside_ms: Option<u64>,
    /// For when its timer is set.
    pub timer_ms: u64,
    pub subscriptions: Vec<Subscription>,
    /// Slots of subscriptions with something to write.
    pub dirty: Vec<u32>,
    pub control: VecDeque<Bytes>,
    /// The frame that is half written.
    pub partial: Option<Bytes>,
    /// Since when the kernel takes nothing.
    pub blocked_ms: Option<u64>,
    /// Made when it blocks for the first time.
    pub waker: Option<Waker>,
    pub closing: Option<Closing>,
}

/// A socket on its way out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing {
    /// When it is cut off in any case.
    pub deadline_ms: u64,
    /// The close frame is out, the writing side ended.
    pub finished: bool,
}

impl Subscription {
    /// Registered and held.
    pub fn held(row: u32, place: u32) -> Self {
        Self {
            row,
            place,
            next_seq: 0,
            joined_seq: 0,
            ending: None,
            held: true,
            behind: false,
            listed: false,
            waits: false,
        }
    }

    /// From now on it flows, from behind `seq`.
    pub fn release(&mut self, seq: u64, joined_seq: u64) {
        self.held = false;
        self.next_seq = seq.saturating_add(1);
        self.joined_seq = joined_seq;
        let removals = self.ending.take().map(|ending| ending.removals);
        for seq in removals.into_iter().flatten() {
            self.removed_at(seq);
        }
    }

    /// An entry removed the user.
    pub fn removed_at(&mut self, seq: u64) {
        if self.held {
            self.ending.get_or_insert_default().removals.push(seq);
        } else if seq > self.joined_seq {
            let ending = self.ending.get_or_insert_default();
            ending.end_seq = Some(ending.end_seq.map_or(seq, |end| end.min(seq)));
        }
    }

    /// The last seq it gets at present, of a log that ends at `head`.
    pub fn last(&self, head: u64) -> u64 {
        self.end_seq().map_or(head, |end| end.min(head))
    }

    /// It flows without end, and is listed nowhere.
    pub fn is_plain(&self) -> bool {
        !(self.held || self.behind || self.listed || self.waits) && self.ending.is_none()
    }

    /// Its last entry is written.
    pub fn has_ended(&self) -> bool {
        self.end_seq().is_some_and(|end| self.next_seq > end)
    }

    fn end_seq(&self) -> Option<u64> {
        self.ending.as_ref()?.end_seq
    }
}

impl Socket {
    /// Which of its subscriptions is the row's.
    pub fn slot_of(&self, row: u32) -> Option<u32> {
        let slot = self.subscriptions.iter().position(|it| it.row == row)?;
        u32::try_from(slot).ok()
    }

    /// Takes a subscription out. Another may move into its slot: its row must
    /// hear of it.
    pub fn take_subscription(&mut self, slot: u32) -> Subscription {
        let subscription = self.subscriptions.swap_remove(slot as usize);
        if subscription.listed {
            self.dirty.retain(|dirty| *dirty != slot);
        }
        let moved_from = self.subscriptions.len();
        if self
            .subscriptions
            .get(slot as usize)
            .is_some_and(|moved| moved.listed)
        {
            let moved = |dirty: &&mut u32| **dirty as usize == moved_from;
            self.dirty
                .iter_mut()
                .filter(moved)
                .for_each(|dirty| *dirty = slot);
        }
        subscription
    }

    /// Takes a control frame off the queue.
    pub fn pop_control(&mut self) {
        if let Some(frame) = self.control.pop_front() {
            self.written_off(frame.len());
            self.line.drained.notify_waiters();
        }
    }

    /// Control bytes that do not wait any more.
    pub fn written_off(&self, bytes: usize) {
        self.line.backlog_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Forgets what waits, but the frame that is half written.
    pub fn forget_queue(&mut self) {
        while !self.control.is_empty() {
            self.pop_control();
        }
    }

    /// Bytes of control frames that wait.
    pub fn backlog_bytes(&self) -> usize {
        self.line.backlog_bytes.load(Ordering::Relaxed)
    }

    /// Whether there is something to write.
    pub fn has_more(&self) -> bool {
        self.partial.is_some() || !self.control.is_empty() || !self.dirty.is_empty()
    }
}

/// Sockets the kernel takes bytes of again; bounded by the sockets there are.
#[derive(Default)]
pub(super) struct Writable {
    pub keys: Mutex<Vec<(u32, u64)>>,
    pub notify: Notify,
}

/// One blocked socket's waker: no task waits for it.
pub(super) struct SocketWaker {
    pub key: u32,
    pub serial: u64,
    pub writable: Arc<Writable>,
}

impl Wake for SocketWaker {
    fn wake(self: Arc<Self>) {
        self.writable.keys.lock().push((self.key, self.serial));
        self.writable.notify.notify_one();
    }
}
