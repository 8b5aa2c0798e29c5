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
use fanfare_engine::entry::{Body, Entry};
use fanfare_engine::port::{Log, Order, RowRange, StoreError};
use fanfare_engine::room::{Published, PublishedRow};
use fanfare_engine::row::LogRow;
use fanfare_engine::view::{Ends, ends_of, event_of};
use fanfare_protocol::frame::encode_event;
use fanfare_protocol::limits::{PAGE_RETRY_MS, PAGE_SEQS, SCAN_ROWS};
use fanfare_protocol::{ConversationId, Limits};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{Semaphore, oneshot};

use crate::fanout::{Fanout, Frames, ShardHandle, SocketId, text_frame};
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
    /// A shard has subscribers of a relay that failed.
    Refollow(usize, ConversationId),
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
    log: Arc<dyn Log>,
    owner: Arc<dyn Owner>,
    fanout: Fanout,
    queued: Arc<AtomicUsize>,
    fetches: Arc<Semaphore>,
    limits: Arc<Limits>,
    rows: HashMap<ConversationId, Row>,
}

/// One followed conversation.
#[derive(Default)]
struct Row {
    /// What was handed to the shards; `None` until the owner answered.
    head: Option<Head>,
    /// Shards with subscribers, one bit each.
    shards: u64,
    /// A pull is under way.
    pulling: bool,
    /// How far the owner says the log is.
    target: Option<Head>,
    /// Grows with every deletion: pages read before it are read again.
    generation: u64,
    /// Number of the newest hold of each shard.
    holds: Vec<(usize, u64)>,
    waiting: Vec<(SocketId, oneshot::Sender<Option<Head>>)>,
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
            RelayMessage::Refollow(shard, conversation) => {
                state.refollow(&myself, shard, conversation);
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
            RelayMessage::Unknown(conversation) => state.unknown(conversation),
            RelayMessage::Signal(conversation, frame) => {
                for shard in state.shards_of(conversation) {
                    shard.signal(conversation, frame.clone());
                }
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

    /// Takes over from a relay that failed: the head that answers makes the
    /// shard pull what it missed.
    fn refollow(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        shard: usize,
        conversation: ConversationId,
    ) {
        let known = self.rows.contains_key(&conversation);
        self.rows.entry(conversation).or_default().shards |= 1 << shard;
        if !known {
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

    fn answer_waiting(&mut self, conversation: ConversationId) {
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

    fn unknown(&mut self, conversation: ConversationId) {
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        for (_, answer) in std::mem::take(&mut row.waiting) {
            let _ = answer.send(None);
        }
        if row.head.is_none() {
            self.rows.remove(&conversation);
            self.owner.unfollow(conversation);
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

    fn shards_of(&self, conversation: ConversationId) -> Vec<ShardHandle> {
        let bits = self.rows.get(&conversation).map_or(0, |row| row.shards);
        (0..64)
            .filter(|at| bits & (1 << at) != 0)
            .filter_map(|at| self.fanout.shard(at).cloned())
            .collect()
    }

    // --- entries -----------------------------------------------------------

    fn published(&mut self, myself: &ActorRef<RelayMessage>, published: &Published) {
        let conversation = published.conversation;
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        let Some(head) = row.head else { return };
        let Some((first, last)) = published.rows.first().zip(published.rows.last()) else {
            return;
        };
        let newest = Head {
            conversation,
            epoch: last.row.epoch,
            seq: last.row.seq,
        };
        if first.row.seq > head.seq + 1 || row.pulling {
            self.pull(myself, newest);
            return;
        }
        let new: Vec<&PublishedRow> = published
            .rows
            .iter()
            .filter(|it| it.row.seq > head.seq)
            .collect();
        let entries = new.iter().map(|it| (&it.row, &*it.entry)).collect();
        self.hand_on(conversation, newest, entries);
    }

    fn head(&mut self, myself: &ActorRef<RelayMessage>, head: Head) {
        let Some(row) = self.rows.get_mut(&head.conversation) else {
            return;
        };
        match row.head {
            None => {
                row.head = Some(head);
                self.answer_waiting(head.conversation);
                for shard in self.shards_of(head.conversation) {
                    shard.head(head.conversation, head.seq);
                }
            }
            Some(known) if head.seq > known.seq => self.pull(myself, head),
            // What a shard dropped it learns from the repeated head.
            Some(known) if head.seq == known.seq => {
                for shard in self.shards_of(head.conversation) {
                    shard.head(head.conversation, head.seq);
                }
            }
            Some(_) => {}
        }
    }

    /// Reads what is missing up to `target`, once for everybody.
    fn pull(&mut self, myself: &ActorRef<RelayMessage>, target: Head) {
        let Some(row) = self.rows.get_mut(&target.conversation) else {
            return;
        };
        if row.target.is_none_or(|known| known.seq < target.seq) {
            row.target = Some(target);
        }
        let Some(head) = row.head else { return };
        if row.pulling {
            return;
        }
        row.pulling = true;
        metrics::counter!("fanfare_relay_pulls_total").increment(1);
        let (log, relay) = (Arc::clone(&self.log), myself.clone());
        tokio::spawn(async move {
            let range = RowRange {
                conversation: target.conversation,
                from: head.seq + 1,
                to: target.seq,
                limit: SCAN_ROWS,
                order: Order::Ascending,
            };
            let rows = log.rows(range).await;
            if rows.is_err() {
                tokio::time::sleep(Duration::from_millis(PAGE_RETRY_MS)).await;
            }
            tell(
                &relay,
                RelayMessage::Pulled(target.conversation, target, rows),
            );
        });
    }

    fn pulled(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        conversation: ConversationId,
        target: Head,
        rows: Result<Vec<LogRow>, StoreError>,
    ) {
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        row.pulling = false;
        let from = row.head.map_or(0, |head| head.seq);
        match rows
            .map_err(|error| error.to_string())
            .and_then(|rows| decoded(rows, from))
        {
            Ok(rows) => {
                if let Some((last, _)) = rows.last() {
                    let newest = Head {
                        conversation,
                        epoch: last.epoch,
                        seq: last.seq,
                    };
                    let entries = rows.iter().map(|(row, entry)| (row, entry)).collect();
                    self.hand_on(conversation, newest, entries);
                }
            }
            Err(error) => tracing::warn!(%conversation, error, "missing entries not read"),
        }
        let row = self.rows.get(&conversation);
        let reached = row.and_then(|row| row.head).map_or(0, |head| head.seq);
        let wanted = row.and_then(|row| row.target).unwrap_or(target);
        if reached < wanted.seq {
            self.pull(myself, wanted);
        }
    }

    /// Encodes entries once and gives them to every shard that has readers.
    fn hand_on(
        &mut self,
        conversation: ConversationId,
        newest: Head,
        entries: Vec<(&LogRow, &Entry)>,
    ) {
        let Some((first, _)) = entries.first() else {
            return;
        };
        let mut frames = Frames {
            conversation,
            first_seq: first.seq,
            frames: Vec::with_capacity(entries.len()),
            ends: Vec::new(),
            evicted: Vec::new(),
        };
        for (row, entry) in entries {
            frames.frames.push(ready_frame(row, entry));
            match ends_of(entry) {
                Ends::Nobody => {}
                Ends::Users(users) => frames.ends.push((row.seq, Some(users))),
                Ends::Everybody => frames.ends.push((row.seq, None)),
            }
            if let Body::MessageDeleted(deleted) = &entry.body {
                frames.evicted.push(deleted.message.seq);
                frames.evicted.extend(&deleted.edits);
            }
        }
        let shards = self.shards_of(conversation);
        if let Some(row) = self.rows.get_mut(&conversation) {
            row.head = Some(newest);
            row.generation += u64::from(!frames.evicted.is_empty());
        }
        let frames = Arc::new(frames);
        for shard in shards {
            if !shard.entries(Arc::clone(&frames)) {
                // What must not be lost with the frames: who may read no
                // further. Everything else the shard pulls.
                shard.owed(&frames);
            }
        }
    }

    // --- pages -------------------------------------------------------------

    fn fetch(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        shard: usize,
        conversation: ConversationId,
        page: u64,
    ) {
        let generation = self.rows.get(&conversation).map_or(0, |row| row.generation);
        let (log, relay) = (Arc::clone(&self.log), myself.clone());
        let fetches = Arc::clone(&self.fetches);
        metrics::counter!("fanfare_relay_pages_total").increment(1);
        tokio::spawn(async move {
            let Ok(_permit) = fetches.acquire().await else {
                return;
            };
            let range = RowRange {
                conversation,
                from: page * PAGE_SEQS + 1,
                to: (page + 1) * PAGE_SEQS,
                limit: PAGE_SEQS as usize,
                order: Order::Ascending,
            };
            let rows = log.rows(range).await;
            if rows.is_err() {
                tokio::time::sleep(Duration::from_millis(PAGE_RETRY_MS)).await;
            }
            tell(
                &relay,
                RelayMessage::PageRead(shard, conversation, page, generation, rows),
            );
        });
    }

    fn page_read(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        shard: usize,
        conversation: ConversationId,
        page: u64,
        generation: u64,
        rows: Result<Vec<LogRow>, StoreError>,
    ) {
        let Some(handle) = self.fanout.shard(shard).cloned() else {
            return;
        };
        let Some(row) = self.rows.get(&conversation) else {
            handle.page_failed(conversation, page);
            return;
        };
        if row.generation != generation {
            // A deletion overtook the reading: its text may be in there.
            self.fetch(myself, shard, conversation, page);
            return;
        }
        let published = row.head.map_or(0, |head| head.seq);
        match rows
            .map_err(|error| error.to_string())
            .and_then(|rows| decoded(rows, page * PAGE_SEQS))
        {
            Ok(rows) => {
                let visible = rows.iter().take_while(|(row, _)| row.seq <= published);
                let frames = visible
                    .map(|(row, entry)| ready_frame(row, entry))
                    .collect();
                handle.page(conversation, page, Arc::new(frames));
            }
            Err(error) => {
                tracing::warn!(%conversation, page, error, "page not read");
                handle.page_failed(conversation, page);
            }
        }
    }
}

/// Rows with their entries, dense from behind `from`.
fn decoded(rows: Vec<LogRow>, from: u64) -> Result<Vec<(LogRow, Entry)>, String> {
    let mut next = from + 1;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        if row.seq < next {
            continue;
        }
        if row.seq != next {
            return Err(format!("row {next} is missing"));
        }
        next += 1;
        let entry = row.entry().map_err(|error| error.to_string())?;
        entries.push((row, entry));
    }
    Ok(entries)
}

fn ready_frame(row: &LogRow, entry: &Entry) -> Bytes {
    match encode_event(row.conversation, row.epoch, row.seq, &event_of(row, entry)) {
        Ok(payload) => text_frame(&payload),
        Err(error) => {
            // An event is plain data; the place must be kept all the same.
            tracing::error!(%error, seq = row.seq, "event not encoded");
            text_frame(b"{}")
        }
    }
}

fn tell(relay: &ActorRef<RelayMessage>, message: RelayMessage) {
    if relay.cast(message).is_err() {
        tracing::debug!("relay ended");
    }
}
