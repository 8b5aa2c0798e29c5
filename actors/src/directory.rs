//! The directory: which conversations are live here, how far each log is
//! published, who follows. A sharded map on the owner's node.
//!
//! Following an idle conversation wakes nobody; a stopping room forgets
//! nobody. **Invariant:** a head given out was published, and of a log that
//! is neither activated nor clean none is given out, nor of one in a slot
//! that this node does not serve (`slots.rs`).

mod follow;
mod heads;
mod known;
mod recent;
mod slots;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use fanfare_engine::port::Ownership;
use fanfare_engine::room::{Published, Submission};
use fanfare_engine::row::HeadRow;
use fanfare_engine::stamp::slot_of;
use fanfare_protocol::limits::{MAP_PARTS, SLOT_RECOVERIES_AT_ONCE, SLOTS};
use fanfare_protocol::signal::Signal;
use fanfare_protocol::{ConversationId, Limits, Refusal};
use parking_lot::Mutex;
use ractor::{ActorCell, ActorId, ActorRef};
use tokio::sync::{Notify, Semaphore};

use self::known::Departures;
pub(crate) use self::known::Known;
pub use self::known::Moment;
use self::slots::Unsettled;
use crate::owner::{Follower, Head};
use crate::reply::Reply;
use crate::room::{Room, RoomArguments, RoomMessage, RoomPorts};

/// Hears of every entry that is published on this node.
pub trait Listener: Send + Sync {
    /// Entries were published. Must not block.
    fn published(&self, published: &Arc<Published>);
}

/// Hears that a log in a slot knows an epoch at or above the slot's own.
pub type Raise = Box<dyn Fn(u16, u64) + Send + Sync>;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Directory(Arc<Shared>);

struct Shared {
    ownership: Arc<dyn Ownership>,
    /// By slot: the epoch under which everything that was in the middle of
    /// something is activated; zero before.
    recovered: Vec<AtomicU64>,
    recoveries: Semaphore,
    departures: Departures,
    raise: OnceLock<Raise>,
    /// Followers of these still have to be told a head.
    owed: Mutex<HashSet<ConversationId>>,
    unsettled: Unsettled,
    limits: Arc<Limits>,
    ports: RoomPorts,
    parts: Vec<Part>,
    rooms: Mutex<HashMap<ActorId, ConversationId>>,
    /// Told when the last room has ended.
    quiet: Notify,
    /// No room starts any more.
    closing: AtomicBool,
    moved: Mutex<HashSet<ConversationId>>,
    supervisor: OnceLock<ActorCell>,
    listener: OnceLock<Arc<dyn Listener>>,
}

#[derive(Default)]
struct Part {
    owned: Mutex<HashMap<ConversationId, Owned>>,
    changed: Notify,
}

/// One conversation that is live or followed, or whose head is not yet in
/// its head row.
#[derive(Default)]
struct Owned {
    /// Of the slot when room and what is known were of use; see [`Owned::under`].
    epoch: u64,
    room: Option<ActorRef<RoomMessage>>,
    known: Option<Known>,
    follower: Option<Arc<dyn Follower>>,
    failures: u32,
}

impl Owned {
    /// Leaves behind what an older epoch of the slot knew: its room ends, its
    /// head is not ours to tell.
    fn under(&mut self, epoch: u64) -> &mut Self {
        if self.epoch != epoch {
            self.end_room();
            self.known = None;
            self.failures = 0;
            self.epoch = epoch;
        }
        self
    }

    fn end_room(&mut self) {
        if let Some(room) = self.room.take() {
            // One that ended already needs no word.
            let _ = room.cast(RoomMessage::GivenUp);
        }
    }

    /// Nobody needs it, and the store knows as much.
    fn is_needless(&self) -> bool {
        let known = self.known.is_none_or(|known| known.head.is_clean());
        known && self.room.is_none() && self.follower.is_none()
    }
}

impl Directory {
    /// An empty directory.
    pub fn new(ownership: Arc<dyn Ownership>, limits: Arc<Limits>, ports: RoomPorts) -> Self {
        Self(Arc::new(Shared {
            ownership,
            recovered: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            recoveries: Semaphore::new(SLOT_RECOVERIES_AT_ONCE),
            departures: Departures::new(),
            raise: OnceLock::new(),
            owed: Mutex::default(),
            unsettled: Unsettled::default(),
            limits,
            ports,
            parts: (0..MAP_PARTS).map(|_| Part::default()).collect(),
            rooms: Mutex::default(),
            quiet: Notify::new(),
            closing: AtomicBool::new(false),
            moved: Mutex::default(),
            supervisor: OnceLock::new(),
            listener: OnceLock::new(),
        }))
    }

    /// Ties the directory to the rooms' supervisor and to whoever hears of
    /// entries; once, before anything else.
    pub fn begin(&self, supervisor: ActorCell, listener: Arc<dyn Listener>) {
        let _ = self.0.supervisor.set(supervisor);
        let _ = self.0.listener.set(listener);
    }

    /// Sends a command to its room, which is started if need be.
    pub fn submit(&self, conversation: ConversationId, asked: Submission, reply: Reply) {
        let Some(room) = self.room(conversation) else {
            let why = "this node serves no such conversation at present";
            reply.settle(Err(Refusal::unavailable(why)));
            return;
        };
        if let Err(error) = room.cast(RoomMessage::Submit(Box::new(asked), reply)) {
            // It ended in between: its successor takes the command.
            match error {
                ractor::MessagingErr::SendErr(RoomMessage::Submit(_, reply)) => reply.hand_back(),
                other => tracing::debug!(error = %other, "room did not take a command"),
            }
        }
    }

    /// Whether a room of this conversation is live.
    pub fn is_live(&self, conversation: ConversationId) -> bool {
        self.part(conversation)
            .owned
            .lock()
            .get(&conversation)
            .is_some_and(|it| it.room.is_some())
    }

    /// A fleeting frame for everybody who is subscribed.
    pub fn signal(&self, conversation: ConversationId, signal: Arc<Signal>) {
        let follower = self.follower(conversation);
        if let Some(follower) = follower {
            follower.signal(conversation, signal);
        }
    }

    /// Tells followers the heads of what moved since the last time.
    pub fn repeat_heads(&self) {
        for conversation in std::mem::take(&mut *self.0.moved.lock()) {
            let owned = self.part(conversation).owned.lock();
            let told = owned
                .get(&conversation)
                .and_then(|it| Some((it.follower.clone()?, it.known?.head)));
            drop(owned);
            if let Some((follower, head)) = told {
                follower.head(as_head(&head));
            }
        }
        self.pay_owed();
    }

    /// Conversations with a live room.
    pub fn live_rooms(&self) -> usize {
        self.0.rooms.lock().len()
    }

    /// Puts every room to sleep as soon as it has nothing to do, and starts
    /// none any more; returns when all sleep and no write is outstanding.
    /// What sleeps need not be repaired at the next start.
    pub async fn sleep(&self) {
        self.0.closing.store(true, Ordering::SeqCst);
        for part in &self.0.parts {
            for room in part.owned.lock().values().filter_map(|it| it.room.as_ref()) {
                // One that ended needs no sleep.
                let _ = room.cast(RoomMessage::Sleep);
            }
        }
        loop {
            let quiet = self.0.quiet.notified();
            tokio::pin!(quiet);
            quiet.as_mut().enable();
            if self.live_rooms() == 0 {
                break;
            }
            quiet.await;
        }
        self.0.ports.appender.all_settled().await;
    }

    /// Makes a room die, to see that it harms nobody else.
    #[cfg(test)]
    pub(crate) fn kill(&self, conversation: ConversationId) {
        if let Some(room) = self.room(conversation) {
            let _ = room.cast(RoomMessage::Panic);
        }
    }

    /// Holds a room up until there is a word, to see what happens meanwhile.
    #[cfg(test)]
    pub(crate) fn hold_up(&self, conversation: ConversationId) -> std::sync::mpsc::Sender<()> {
        let (word, heard) = std::sync::mpsc::channel();
        if let Some(room) = self.room(conversation) {
            let _ = room.cast(RoomMessage::Wait(heard));
        }
        word
    }

    // --- what rooms tell ---------------------------------------------------

    /// A room of an owner with this epoch has loaded: its log is published up
    /// to `published`.
    pub(crate) fn loaded(&self, epoch: u64, known: Known, published: u64) {
        if published == 0 {
            return;
        }
        let head = known.head;
        // What it activated may have ended memberships.
        self.0.departures.note(slot_of(head.conversation));
        let part = self.part(head.conversation);
        let mut owned = part.owned.lock();
        if !self.keeps(head.conversation, epoch) {
            return;
        }
        let row = owned.entry(head.conversation).or_default().under(epoch);
        row.failures = 0;
        // Clean here means that the head row says so, not that it could.
        row.known = Some(Known {
            head: HeadRow { clean: 0, ..head },
            ..known
        });
        let follower = row.follower.clone();
        drop(owned);
        part.changed.notify_waiters();
        self.0.unsettled.settle(head.conversation);
        if let Some(follower) = follower {
            follower.head(as_head(&head));
        }
    }

    /// Entries became durable.
    pub(crate) fn published(&self, published: Arc<Published>) {
        let Some(last) = published.rows.last() else {
            return;
        };
        let head = HeadRow {
            conversation: published.conversation,
            epoch: last.row.epoch,
            seq: last.row.seq,
            mno: last.row.mno,
            ano: last.row.ano,
            at: last.entry.at,
            clean: 0,
        };
        self.note_departures(&published);
        let part = self.part(head.conversation);
        let mut owned = part.owned.lock();
        if !self.keeps(head.conversation, published.epoch) {
            // True, but no longer ours to tell: its new owner does.
            return;
        }
        let row = owned.entry(head.conversation).or_default();
        let row = row.under(published.epoch);
        let first = row.known.is_none();
        row.known = Some(Known::after(row.known, head, &published));
        let follower = row.follower.clone();
        drop(owned);
        if first {
            part.changed.notify_waiters();
        }
        if let Some(follower) = follower {
            self.0.moved.lock().insert(head.conversation);
            follower.entries(Arc::clone(&published));
        }
        if let Some(listener) = self.0.listener.get() {
            listener.published(&published);
        }
    }

    /// A room ends of its own will: the next command starts another.
    pub(crate) fn slept(&self, conversation: ConversationId, room: ActorId) {
        self.forget(room);
        let mut owned = self.part(conversation).owned.lock();
        if let Some(row) = owned.get_mut(&conversation)
            && row
                .room
                .as_ref()
                .is_some_and(|known| known.get_id() == room)
        {
            row.room = None;
            if row.is_needless() {
                owned.remove(&conversation);
            }
        }
    }

    fn forget(&self, room: ActorId) -> Option<ConversationId> {
        let mut rooms = self.0.rooms.lock();
        let conversation = rooms.remove(&room);
        if rooms.is_empty() {
            self.0.quiet.notify_waiters();
        }
        conversation
    }

    /// A sleeping conversation's head row was written: whoever is not
    /// followed need not be remembered.
    pub(crate) fn head_row_written(&self, head: &HeadRow, clean: bool) {
        let mut owned = self.part(head.conversation).owned.lock();
        let Some(row) = owned.get_mut(&head.conversation) else {
            return;
        };
        let Some(known) = row
            .known
            .as_mut()
            .filter(|known| clean && known.head.seq == head.seq)
        else {
            return;
        };
        known.head.clean = head.clean;
        if row.is_needless() {
            owned.remove(&head.conversation);
        }
    }

    /// A room ended, failed or not. It is started again at once, after a
    /// growing pause, if somebody follows or a write is outstanding;
    /// otherwise by the next command.
    pub(crate) fn ended(&self, room: ActorId) {
        let Some(conversation) = self.forget(room) else {
            return;
        };
        let part = self.part(conversation);
        let mut owned = part.owned.lock();
        let Some(row) = owned.get_mut(&conversation) else {
            return;
        };
        if row.room.as_ref().is_none_or(|known| known.get_id() != room) {
            return;
        }
        row.room = None;
        row.failures = row.failures.saturating_add(1);
        let wanted = row.follower.is_some() || self.0.ports.appender.is_outstanding(conversation);
        if wanted && self.start(conversation, row).is_none() {
            // The lease lapsed, perhaps only for now.
            self.0.owed.lock().insert(conversation);
        }
        drop(owned);
        part.changed.notify_waiters();
    }

    // --- rooms -------------------------------------------------------------

    fn room(&self, conversation: ConversationId) -> Option<ActorRef<RoomMessage>> {
        let epoch = self.0.ownership.serves(slot_of(conversation))?;
        let mut owned = self.part(conversation).owned.lock();
        let row = owned.entry(conversation).or_default().under(epoch);
        match &row.room {
            Some(room) => Some(room.clone()),
            None => self.start(conversation, row),
        }
    }

    /// Conversations it remembers.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        let owned = |part: &Part| part.owned.lock().len();
        self.0.parts.iter().map(owned).sum()
    }

    fn start(
        &self,
        conversation: ConversationId,
        row: &mut Owned,
    ) -> Option<ActorRef<RoomMessage>> {
        if self.0.closing.load(Ordering::SeqCst) {
            return None;
        }
        let epoch = self.0.ownership.serves(slot_of(conversation))?;
        row.under(epoch);
        let supervisor = self.0.supervisor.get()?.clone();
        let limits = &self.0.limits;
        let pause = limits
            .room_restart_ms_min
            .saturating_mul(1 << row.failures.min(16));
        let arguments = RoomArguments {
            conversation,
            epoch,
            ports: self.0.ports.clone(),
            directory: self.clone(),
            limits: Arc::clone(limits),
            delay_ms: if row.failures == 0 {
                0
            } else {
                pause.min(limits.room_restart_ms_max)
            },
        };
        // `pre_start` waits for nothing; loading is the room's first work.
        let started = ractor::ActorRuntime::spawn_linked_instant(None, Room, arguments, supervisor);
        match started {
            Ok((room, _)) => {
                self.0.rooms.lock().insert(room.get_id(), conversation);
                row.room = Some(room.clone());
                Some(room)
            }
            Err(error) => {
                tracing::error!(%conversation, %error, "room not started");
                None
            }
        }
    }

    fn part(&self, conversation: ConversationId) -> &Part {
        self.part_of(slot_of(conversation))
    }

    /// Conversations of one slot lie in one part.
    fn part_of(&self, slot: u16) -> &Part {
        &self.0.parts[usize::from(slot) % self.0.parts.len()]
    }

    fn follower(&self, conversation: ConversationId) -> Option<Arc<dyn Follower>> {
        self.part(conversation)
            .owned
            .lock()
            .get(&conversation)?
            .follower
            .clone()
    }
}

fn as_head(head: &HeadRow) -> Head {
    Head {
        conversation: head.conversation,
        epoch: head.epoch,
        seq: head.seq,
    }
}
