//! Role: follows owners for this node: sees gaps in what they send, pulls
//! what is missing from the log once for everybody, encodes each entry once,
//! hands ready frames to the shards that have subscribers.
//! Arguments: [`RelayArguments`]. Messages: [`RelayMessage`].
//! Supervised by the node root: a relay that failed is started again and its
//! shards' rows are followed anew.
//!
//! **Invariant:** between relay and shard a conversation's entries are dense.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fanfare_engine::port::{Log, StoreError};
use fanfare_engine::room::Published;
use fanfare_engine::row::LogRow;
use fanfare_protocol::limits::LATER_MS;
use fanfare_protocol::{ConversationId, Limits};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{Semaphore, oneshot};

use crate::fanout::{Fanout, ShardHandle, SocketId};
use crate::owner::{Follower, Head, Owner};

/// What a relay starts with.
pub struct RelayArguments {
    /// Where the entries are.
    pub log: Arc<dyn Log>,
    /// Who decides them.
    pub owner: Arc<dyn Owner>,
    /// Where frames go.
    pub fanout: Fanout,
    /// Bytes on their way to this relay.
    pub queued: Arc<AtomicUsize>,
    /// Limits.
    pub limits: Arc<Limits>,
}

/// What a relay is told.
pub enum RelayMessage {
    /// Registers a held subscription; answers how far the log is, or `None`
    /// when the owner cannot say at present.
    Hold(SocketId, ConversationId, oneshot::Sender<Option<Head>>),
    /// A shard has subscribers of a relay that failed, who have had
    /// everything up to this seq.
    Refollow(usize, ConversationId, u64),
    /// Ask the owner once more.
    Follow(ConversationId),
    /// A shard has no subscriber any more; its newest hold had this number.
    Idle(usize, ConversationId, u64),
    /// A shard wants a page behind its ring.
    Fetch(usize, ConversationId, u64),
    /// The owner published entries.
    Entries(Arc<Published>),
    /// The owner says how far the log is.
    Head(Head),
    /// The owner cannot say.
    Unknown(ConversationId),
    /// A fleeting frame.
    Signal(ConversationId, Bytes),
    /// Waits for a word, then panics, to test that nothing is lost with it.
    #[cfg(test)]
    Die(std::sync::mpsc::Receiver<()>),
    /// Missing entries were read, up to a head.
    Pulled(ConversationId, Head, Result<Vec<LogRow>, StoreError>),
    /// A page was read, under the row's generation at the time.
    PageRead(
        usize,
        ConversationId,
        u64,
        u64,
        Result<Vec<LogRow>, StoreError>,
    ),
}

/// Numbers of holds, rising over all relays of the process.
static HOLDS: AtomicU64 = AtomicU64::new(1);

/// The actor.
pub struct Relay;

/// State of the actor.
pub struct State {
    pub(super) log: Arc<dyn Log>,
    pub(super) owner: Arc<dyn Owner>,
    pub(super) fanout: Fanout,
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) fetches: Arc<Semaphore>,
    pub(super) limits: Arc<Limits>,
    pub(super) rows: HashMap<ConversationId, Row>,
}

/// One followed conversation.
#[derive(Default)]
pub(super) struct Row {
    /// What was handed to the shards; `None` until the owner answered.
    pub(super) head: Option<Head>,
    /// Shards with subscribers, one bit each.
    pub(super) shards: u64,
    /// What shards of a relay that failed have had, before the owner answered.
    pub(super) had: Option<u64>,
    /// A pull is under way.
    pub(super) pulling: bool,
    /// How far the owner says the log is.
    pub(super) target: Option<Head>,
    /// Grows with every deletion: pages read before it are read again.
    pub(super) generation: u64,
    /// Number of the newest hold of each shard.
    pub(super) holds: Vec<(usize, u64)>,
    pub(super) waiting: Vec<(SocketId, oneshot::Sender<Option<Head>>)>,
}

/// How the owner reaches a relay: bounded in bytes, what is too much is
/// dropped (the owner repeats heads).
pub struct RelayFollower {
    /// The relay.
    pub relay: ActorRef<RelayMessage>,
    /// Bytes on their way to it.
    pub queued: Arc<AtomicUsize>,
    /// Limit of those.
    pub queue_bytes_max: usize,
}

impl Follower for RelayFollower {
    fn entries(&self, published: Arc<Published>) {
        let bytes = published.weight_bytes();
        if self.queued.load(Ordering::Relaxed) > self.queue_bytes_max {
            metrics::counter!("fanfare_relay_dropped_total").increment(1);
            return;
        }
        self.queued.fetch_add(bytes, Ordering::Relaxed);
        if self.relay.cast(RelayMessage::Entries(published)).is_err() {
            self.queued.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn head(&self, head: Head) {
        self.tell(RelayMessage::Head(head));
    }

    fn unknown(&self, conversation: ConversationId) {
        self.tell(RelayMessage::Unknown(conversation));
    }

    fn signal(&self, conversation: ConversationId, frame: Bytes) {
        if self.queued.load(Ordering::Relaxed) <= self.queue_bytes_max {
            self.tell(RelayMessage::Signal(conversation, frame));
        }
    }
}

impl RelayFollower {
    fn tell(&self, message: RelayMessage) {
        if self.relay.cast(message).is_err() {
            tracing::debug!("relay ended");
        }
    }
}

impl Actor for Relay {
    type Msg = RelayMessage;
    type State = State;
    type Arguments = RelayArguments;

    async fn pre_start(
        &self,
        _: ActorRef<RelayMessage>,
        args: RelayArguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State {
            log: args.log,
            owner: args.owner,
            fanout: args.fanout,
            queued: args.queued,
            fetches: Arc::new(Semaphore::new(args.limits.page_fetches_max)),
            limits: args.limits,
            rows: HashMap::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<RelayMessage>,
        message: RelayMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RelayMessage::Hold(socket, conversation, answer) => {
                state.hold(&myself, socket, conversation, answer);
            }
            RelayMessage::Refollow(shard, conversation, head) => {
                state.refollow(&myself, shard, conversation, head);
            }
            RelayMessage::Idle(shard, conversation, hold) => {
                state.idle(shard, conversation, hold);
            }
            RelayMessage::Fetch(shard, conversation, page) => {
                state.fetch(&myself, shard, conversation, page);
            }
            RelayMessage::Entries(published) => {
                state
                    .queued
                    .fetch_sub(published.weight_bytes(), Ordering::Relaxed);
                state.published(&myself, &published);
            }
            RelayMessage::Head(head) => state.head(&myself, head),
            RelayMessage::Unknown(conversation) => state.unknown(&myself, conversation),
            RelayMessage::Follow(conversation) => state.follow_again(&myself, conversation),
            RelayMessage::Signal(conversation, frame) => {
                for shard in state.shards_of(conversation) {
                    shard.signal(conversation, frame.clone());
                }
            }
            #[cfg(test)]
            RelayMessage::Die(word) => {
                let _ = word.recv();
                panic!("a relay dies, as a test asked");
            }
            RelayMessage::Pulled(conversation, target, rows) => {
                state.pulled(&myself, conversation, target, rows);
            }
            RelayMessage::PageRead(shard, conversation, page, generation, rows) => {
                state.page_read(&myself, shard, conversation, page, generation, rows);
            }
        }
        Ok(())
    }
}

impl State {
    fn hold(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        socket: SocketId,
        conversation: ConversationId,
        answer: oneshot::Sender<Option<Head>>,
    ) {
        let known = self.rows.contains_key(&conversation);
        let row = self.rows.entry(conversation).or_default();
        row.waiting.push((socket, answer));
        if row.head.is_some() {
            self.answer_waiting(conversation);
        } else if !known {
            self.owner.follow(conversation, self.follower(myself));
        }
    }

    /// Takes over from a relay that failed: what its shards have not had is
    /// pulled and handed on, because entries say who ends and what is gone.
    fn refollow(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        shard: usize,
        conversation: ConversationId,
        had: u64,
    ) {
        let known = self.rows.contains_key(&conversation);
        let row = self.rows.entry(conversation).or_default();
        row.shards |= 1 << shard;
        match row.head {
            None => row.had = Some(row.had.map_or(had, |other| other.min(had))),
            Some(head) if had < head.seq => {
                row.head = Some(Head { seq: had, ..head });
                self.pull(myself, head, Duration::ZERO);
            }
            Some(_) => {}
        }
        if !known {
            self.owner.follow(conversation, self.follower(myself));
        }
    }

    fn follow_again(&mut self, myself: &ActorRef<RelayMessage>, conversation: ConversationId) {
        let row = self.rows.get(&conversation);
        if row.is_some_and(|row| row.head.is_none()) {
            self.owner.follow(conversation, self.follower(myself));
        }
    }

    fn follower(&self, myself: &ActorRef<RelayMessage>) -> Arc<dyn Follower> {
        Arc::new(RelayFollower {
            relay: myself.clone(),
            queued: Arc::clone(&self.queued),
            queue_bytes_max: self.limits.relay_queue_bytes_max,
        })
    }

    pub(super) fn answer_waiting(&mut self, conversation: ConversationId) {
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        let Some(head) = row.head else { return };
        for (socket, answer) in std::mem::take(&mut row.waiting) {
            if let Some(shard) = self.fanout.shard(socket.shard()) {
                row.shards |= 1 << socket.shard();
                let number = HOLDS.fetch_add(1, Ordering::Relaxed);
                row.holds.retain(|(at, _)| *at != socket.shard());
                row.holds.push((socket.shard(), number));
                shard.hold(socket, conversation, head.seq, number);
            }
            // Whoever asked may be gone: then the hold is dropped with its socket.
            let _ = answer.send(Some(head));
        }
    }

    fn unknown(&mut self, myself: &ActorRef<RelayMessage>, conversation: ConversationId) {
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        for (_, answer) in std::mem::take(&mut row.waiting) {
            let _ = answer.send(None);
        }
        if row.head.is_some() {
            return;
        }
        if row.shards == 0 {
            self.rows.remove(&conversation);
            self.owner.unfollow(conversation);
        } else {
            // Shards of a relay that failed have subscribers: ask again.
            let relay = myself.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(LATER_MS)).await;
                tell(&relay, RelayMessage::Follow(conversation));
            });
        }
    }

    fn idle(&mut self, shard: usize, conversation: ConversationId, hold: u64) {
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        if row
            .holds
            .iter()
            .any(|(at, newest)| *at == shard && *newest > hold)
        {
            return;
        }
        row.holds.retain(|(at, _)| *at != shard);
        row.shards &= !(1 << shard);
        if row.shards == 0 && row.waiting.is_empty() {
            self.rows.remove(&conversation);
            self.owner.unfollow(conversation);
        }
    }

    pub(super) fn shards_of(&self, conversation: ConversationId) -> Vec<ShardHandle> {
        let bits = self.rows.get(&conversation).map_or(0, |row| row.shards);
        (0..64)
            .filter(|at| bits & (1 << at) != 0)
            .filter_map(|at| self.fanout.shard(at).cloned())
            .collect()
    }
}

pub(super) fn tell(relay: &ActorRef<RelayMessage>, message: RelayMessage) {
    if relay.cast(message).is_err() {
        tracing::debug!("relay ended");
    }
}
