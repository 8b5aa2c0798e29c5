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
use std::sync::atomic::{AtomicUsize, Ordering};

use fanfare_engine::port::{Log, StoreError};
use fanfare_engine::room::Published;
use fanfare_engine::row::LogRow;
use fanfare_protocol::signal::Signal;
use fanfare_protocol::{ConversationId, Limits};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use smallvec::SmallVec;
use tokio::sync::{Semaphore, oneshot};

use crate::fanout::{FORMATS, Fanout, Feed, Format, SocketId};
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
    Refollow(usize, Feed, u64),
    /// Ask the owner once more.
    Follow(ConversationId),
    /// A shard has no subscriber any more; its newest hold had this number.
    Idle(usize, Feed, u64),
    /// A shard wants a page behind its ring.
    Fetch(usize, Feed, u64),
    /// The owner published entries.
    Entries(Arc<Published>),
    /// The owner says how far the log is.
    Head(Head),
    /// The owner cannot say.
    Unknown(ConversationId),
    /// Something fleeting.
    Signal(ConversationId, Arc<Signal>),
    /// Waits for a word, then panics, to test that nothing is lost with it;
    /// goes on if none can come.
    #[cfg(test)]
    Die(std::sync::mpsc::Receiver<()>),
    /// Missing entries were read, up to a head.
    Pulled(ConversationId, Head, Result<Vec<LogRow>, StoreError>),
    /// A page was read, under the row's generation at the time.
    PageRead(ConversationId, u64, u64, Result<Vec<LogRow>, StoreError>),
}

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
    /// Pages that are being read, and who waits for them.
    pub(super) reading: HashMap<(ConversationId, u64), Vec<(usize, Format)>>,
}

/// One followed conversation. Most are idle: what only the others need lies
/// in a box.
#[derive(Default)]
pub(super) struct Row {
    /// What was handed to the shards; `None` until the owner answered.
    pub(super) head: Option<Known>,
    /// Grows with every deletion: pages read before it are read again.
    pub(super) generation: u32,
    /// Who has subscribers.
    pub(super) readers: SmallVec<[Reader; 2]>,
    /// What is under way.
    pub(super) busy: Option<Box<Busy>>,
}

/// A head without its conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub epoch: u64,
    pub seq: u64,
}

/// Subscribers of one format on one shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    pub shard: u16,
    pub format: Format,
    /// Number of the newest hold.
    pub hold: u64,
}

/// What a row needs while something is under way.
#[derive(Default)]
pub(super) struct Busy {
    /// What shards of a relay that failed have had, before the owner answered.
    pub(super) had: Option<u64>,
    /// A pull is under way.
    pub(super) pulling: bool,
    /// How far the owner says the log is.
    pub(super) target: Option<Known>,
    pub(super) waiting: Vec<(SocketId, oneshot::Sender<Option<Head>>)>,
}

impl Row {
    pub(super) fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    /// Gives back what nothing is in.
    pub(super) fn rest(&mut self) {
        let rests = |busy: &Busy| {
            !busy.pulling && busy.target.is_none() && busy.had.is_none() && busy.waiting.is_empty()
        };
        if self.busy.as_deref().is_some_and(rests) {
            self.busy = None;
        }
    }

    /// The formats in use.
    pub(super) fn formats(&self) -> impl Iterator<Item = Format> {
        let used = |format: &Format| self.readers.iter().any(|it| it.format == *format);
        FORMATS.into_iter().filter(used)
    }
}

impl Known {
    pub(super) fn of(self, conversation: ConversationId) -> Head {
        Head {
            conversation,
            epoch: self.epoch,
            seq: self.seq,
        }
    }
}

impl From<Head> for Known {
    fn from(head: Head) -> Self {
        Self {
            epoch: head.epoch,
            seq: head.seq,
        }
    }
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

    fn signal(&self, conversation: ConversationId, signal: Arc<Signal>) {
        if self.queued.load(Ordering::Relaxed) <= self.queue_bytes_max {
            self.tell(RelayMessage::Signal(conversation, signal));
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
            reading: HashMap::new(),
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
            RelayMessage::Refollow(shard, feed, head) => {
                state.refollow(&myself, shard, feed, head);
            }
            RelayMessage::Idle(shard, feed, hold) => state.idle(shard, feed, hold),
            RelayMessage::Fetch(shard, feed, page) => state.fetch(&myself, shard, feed, page),
            RelayMessage::Entries(published) => {
                state
                    .queued
                    .fetch_sub(published.weight_bytes(), Ordering::Relaxed);
                state.published(&myself, &published);
            }
            RelayMessage::Head(head) => state.head(&myself, head),
            RelayMessage::Unknown(conversation) => state.unknown(&myself, conversation),
            RelayMessage::Follow(conversation) => state.follow_again(&myself, conversation),
            RelayMessage::Signal(conversation, signal) => {
                state.signal(conversation, &signal);
            }
            #[cfg(test)]
            RelayMessage::Die(word) => {
                assert!(word.recv().is_err(), "a relay dies, as a test asked");
            }
            RelayMessage::Pulled(conversation, target, rows) => {
                state.pulled(&myself, conversation, target, rows);
            }
            RelayMessage::PageRead(conversation, page, generation, rows) => {
                state.page_read(&myself, conversation, page, generation, rows);
            }
        }
        Ok(())
    }
}

pub(super) fn tell(relay: &ActorRef<RelayMessage>, message: RelayMessage) {
    if relay.cast(message).is_err() {
        tracing::debug!("relay ended");
    }
}
