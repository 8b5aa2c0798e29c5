//! A socket as its shard knows it: cursors, what waits, where writing stands.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Wake, Waker};

use bytes::Bytes;
use fanfare_protocol::{ConversationId, UserId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::command::{Line, Watch};
use super::wire::Wire;

/// A subscription: one cursor.
#[derive(Debug, Clone, Default)]
pub(super) struct Subscription {
    /// Next seq to write.
    pub next_seq: u64,
    /// Last seq to write: the entry that removed the user.
    pub end_seq: Option<u64>,
    /// The entry that made the user a member.
    pub joined_seq: u64,
    /// While it is held: entries that removed the user, perhaps before this
    /// membership began.
    pub removals: Vec<u64>,
    /// Registered, not yet released: nothing is written.
    pub held: bool,
    /// Counted in the conversation's `behind`.
    pub behind: bool,
    /// Listed in the socket's dirty list.
    pub listed: bool,
}

/// One connection's writing side.
pub(super) struct Socket {
    pub wire: Wire,
    pub line: Arc<Line>,
    pub watch: Arc<dyn Watch>,
    pub waker: Waker,
    pub user: Option<UserId>,
    pub opened_ms: u64,
    /// End of its token and grace.
    pub expires_ms: Option<u64>,
    pub pinged_ms: u64,
    pub subscriptions: HashMap<ConversationId, Subscription>,
    /// Conversations with something to write.
    pub dirty: VecDeque<ConversationId>,
    pub control: VecDeque<Bytes>,
    /// The frame that is half written.
    pub partial: Option<Bytes>,
    /// Listed in the shard's queue.
    pub queued: bool,
    /// Since when the kernel takes nothing.
    pub blocked_ms: Option<u64>,
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
    /// An entry removed the user.
    pub fn removed_at(&mut self, seq: u64) {
        if self.held {
            self.removals.push(seq);
        } else if seq > self.joined_seq {
            self.end_seq = Some(self.end_seq.map_or(seq, |end| end.min(seq)));
        }
    }
}

impl Socket {
    /// Takes a control frame off the queue.
    pub fn pop_control(&mut self) {
        if let Some(frame) = self.control.pop_front() {
            self.line
                .backlog_bytes
                .fetch_sub(frame.len(), Ordering::Relaxed);
            self.line.drained.notify_waiters();
        }
    }

    /// Takes back a control frame that came after the close.
    pub fn pop_last_control(&mut self) {
        if let Some(frame) = self.control.pop_back() {
            self.line
                .backlog_bytes
                .fetch_sub(frame.len(), Ordering::Relaxed);
        }
    }

    /// Forgets what waits, but the frame that is half written.
    pub fn forget_queue(&mut self) {
        while !self.control.is_empty() {
            self.pop_control();
        }
        self.dirty.clear();
        for subscription in self.subscriptions.values_mut() {
            subscription.listed = false;
        }
    }

    /// Bytes of control frames that wait.
    pub fn backlog_bytes(&self) -> usize {
        self.line.backlog_bytes.load(Ordering::Relaxed)
    }

    /// Lists a conversation as having something to write.
    pub fn list(&mut self, conversation: ConversationId) {
        if let Some(subscription) = self.subscriptions.get_mut(&conversation)
            && !subscription.listed
        {
            subscription.listed = true;
            self.dirty.push_back(conversation);
        }
    }
}

/// Sockets the kernel takes bytes of again; bounded by the sockets there are.
#[derive(Default)]
pub(super) struct Writable {
    pub serials: Mutex<Vec<u64>>,
    pub notify: Notify,
}

/// One blocked socket's waker: no task waits for it.
pub(super) struct SocketWaker {
    pub serial: u64,
    pub writable: Arc<Writable>,
}

impl Wake for SocketWaker {
    fn wake(self: Arc<Self>) {
        self.writable.serials.lock().push(self.serial);
        self.writable.notify.notify_one();
    }
}
