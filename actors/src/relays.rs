//! The relays of this node: conversation → relay by hash, a fixed number.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use fanfare_engine::port::Log;
use fanfare_protocol::limits::RELAYS;
use fanfare_protocol::{ConversationId, Limits};
use parking_lot::RwLock;
use ractor::{ActorCell, ActorId, ActorRef};
use tokio::sync::oneshot;

use crate::fanout::{Fanout, Feed, SocketId, Source};
use crate::owner::{Head, Owner};
use crate::relay::{Relay, RelayArguments, RelayMessage};

/// Handles to the relays; those that failed are replaced.
#[derive(Clone)]
pub struct Relays(Arc<Shared>);

struct Shared {
    hasher: RandomState,
    relays: RwLock<Vec<ActorRef<RelayMessage>>>,
}

/// What relays are started with.
#[derive(Clone)]
pub struct RelayParts {
    /// Where entries are read.
    pub log: Arc<dyn Log>,
    /// Who decides them.
    pub owner: Arc<dyn Owner>,
    /// Where frames go.
    pub fanout: Fanout,
    /// Limits.
    pub limits: Arc<Limits>,
}

impl Relays {
    /// Handles without relays: [`Self::start`] fills them.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            hasher: RandomState::new(),
            relays: RwLock::default(),
        }))
    }

    /// Starts all of them under a supervisor.
    ///
    /// # Errors
    /// When an actor cannot be started.
    pub fn start(&self, parts: &RelayParts, parent: &ActorCell) -> Result<(), ractor::SpawnErr> {
        let relays: Result<Vec<_>, _> = (0..RELAYS).map(|_| spawn(parts, parent)).collect();
        *self.0.relays.write() = relays?;
        Ok(())
    }

    /// Replaces a relay that failed; `false` when the actor was none. Shards
    /// follow its conversations anew and pull what they missed.
    pub fn replace(&self, failed: ActorId, parts: &RelayParts, parent: &ActorCell) -> bool {
        let mut relays = self.0.relays.write();
        let Some(at) = relays.iter().position(|relay| relay.get_id() == failed) else {
            return false;
        };
        match spawn(parts, parent) {
            Ok(relay) => relays[at] = relay,
            Err(error) => tracing::error!(%error, "relay not started again"),
        }
        drop(relays);
        for shard in parts.fanout.shards() {
            let relays = self.clone();
            shard.refollow(Box::new(move |conversation| relays.at(conversation) == at));
        }
        true
    }

    /// Registers a held subscription; how far the log is, `None` when the
    /// owner cannot say at present.
    pub async fn hold(&self, socket: SocketId, conversation: ConversationId) -> Option<Head> {
        let (sender, answer) = oneshot::channel();
        self.tell(
            conversation,
            RelayMessage::Hold(socket, conversation, sender),
        );
        answer.await.ok().flatten()
    }

    /// Makes the relay of a conversation die with everything that is sent to
    /// it until the given word.
    #[cfg(test)]
    pub(crate) fn kill(&self, conversation: ConversationId, word: std::sync::mpsc::Receiver<()>) {
        self.tell(conversation, RelayMessage::Die(word));
    }

    fn at(&self, conversation: ConversationId) -> usize {
        usize::try_from(self.0.hasher.hash_one(conversation)).unwrap_or(0) % RELAYS
    }

    fn tell(&self, conversation: ConversationId, message: RelayMessage) {
        let at = self.at(conversation);
        let relay = self.0.relays.read().get(at).cloned();
        if relay.is_none_or(|relay| relay.cast(message).is_err()) {
            tracing::debug!(%conversation, "relay is being replaced");
        }
    }
}

impl Default for Relays {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Relays {
    fn fetch(&self, shard: usize, feed: Feed, page: u64) {
        self.tell(feed.conversation, RelayMessage::Fetch(shard, feed, page));
    }

    fn refollow(&self, shard: usize, feed: Feed, head: u64) {
        let message = RelayMessage::Refollow(shard, feed, head);
        self.tell(feed.conversation, message);
    }

    fn idle(&self, shard: usize, feed: Feed, hold: u64) {
        self.tell(feed.conversation, RelayMessage::Idle(shard, feed, hold));
    }
}

fn spawn(
    parts: &RelayParts,
    parent: &ActorCell,
) -> Result<ActorRef<RelayMessage>, ractor::SpawnErr> {
    let arguments = RelayArguments {
        log: Arc::clone(&parts.log),
        owner: Arc::clone(&parts.owner),
        fanout: parts.fanout.clone(),
        queued: Arc::new(AtomicUsize::new(0)),
        limits: Arc::clone(&parts.limits),
    };
    let (relay, _) =
        ractor::ActorRuntime::spawn_linked_instant(None, Relay, arguments, parent.clone())?;
    Ok(relay)
}
