//! Following: owners are asked how far a log is, shards register and end
//! their interest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::LATER_MS;
use fanfare_protocol::signal::Signal;
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::actor::{Reader, RelayFollower, RelayMessage, State, tell};
use crate::fanout::{FORMATS, Feed, Format, ShardHandle, SocketId};
use crate::frames;
use crate::owner::{Follower, Head};

/// Numbers of holds, rising over all relays of the process.
static HOLDS: AtomicU64 = AtomicU64::new(1);

impl State {
    pub(super) fn hold(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        socket: SocketId,
        conversation: ConversationId,
        answer: oneshot::Sender<Option<Head>>,
    ) {
        let known = self.rows.contains_key(&conversation);
        let row = self.rows.entry(conversation).or_default();
        row.busy().waiting.push((socket, answer));
        if row.head.is_some() {
            self.answer_waiting(conversation);
        } else if !known {
            self.owner.follow(conversation, self.follower(myself));
        }
    }

    /// Takes over from a relay that failed: what its shards have not had is
    /// pulled and handed on, because entries say who ends and what is gone.
    pub(super) fn refollow(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        shard: usize,
        feed: Feed,
        had: u64,
    ) {
        let conversation = feed.conversation;
        let known = self.rows.contains_key(&conversation);
        let row = self.rows.entry(conversation).or_default();
        // Older than any hold: an idleness from before the failure counts.
        row.read_by(shard, feed.format, 0);
        match row.head {
            None => {
                let busy = row.busy();
                busy.had = Some(busy.had.map_or(had, |other| other.min(had)));
            }
            Some(head) if had < head.seq => {
                row.head = Some(super::actor::Known { seq: had, ..head });
                self.pull(myself, head.of(conversation), Duration::ZERO);
            }
            Some(_) => {}
        }
        if !known {
            self.owner.follow(conversation, self.follower(myself));
        }
    }

    pub(super) fn follow_again(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        conversation: ConversationId,
    ) {
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
        let Some(known) = row.head else { return };
        let head = known.of(conversation);
        let waiting = row
            .busy
            .as_mut()
            .map(|busy| std::mem::take(&mut busy.waiting));
        for (socket, answer) in waiting.into_iter().flatten() {
            if let Some(shard) = self.fanout.shard(socket.shard()) {
                let number = HOLDS.fetch_add(1, Ordering::Relaxed);
                row.read_by(socket.shard(), socket.format(), number);
                shard.hold(socket, conversation, head.seq, number);
            }
            // Whoever asked may be gone: then the hold is dropped with its socket.
            let _ = answer.send(Some(head));
        }
        row.rest();
    }

    pub(super) fn unknown(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        conversation: ConversationId,
    ) {
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        let waiting = row
            .busy
            .as_mut()
            .map(|busy| std::mem::take(&mut busy.waiting));
        for (_, answer) in waiting.into_iter().flatten() {
            let _ = answer.send(None);
        }
        if row.head.is_some() {
            return row.rest();
        }
        if row.readers.is_empty() {
            self.forget(conversation);
        } else {
            // Shards of a relay that failed have subscribers: ask again.
            let relay = myself.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(LATER_MS)).await;
                tell(&relay, RelayMessage::Follow(conversation));
            });
        }
    }

    pub(super) fn idle(&mut self, shard: usize, feed: Feed, hold: u64) {
        let Some(row) = self.rows.get_mut(&feed.conversation) else {
            return;
        };
        row.readers
            .retain(|it| !it.is(shard, feed.format) || it.hold > hold);
        let waits = row
            .busy
            .as_ref()
            .is_some_and(|busy| !busy.waiting.is_empty());
        if row.readers.is_empty() && !waits {
            self.forget(feed.conversation);
        }
    }

    fn forget(&mut self, conversation: ConversationId) {
        self.rows.remove(&conversation);
        self.owner.unfollow(conversation);
    }

    /// A fleeting frame for every shard with subscribers.
    pub(super) fn signal(&self, conversation: ConversationId, signal: &Signal) {
        let mut ready = FORMATS.map(|_| None);
        for (shard, format) in self.readers(conversation) {
            let frame = ready[format.place()]
                .get_or_insert_with(|| frames::signal(format, Some(conversation), signal));
            let Some(frame) = frame else {
                continue;
            };
            let feed = Feed {
                conversation,
                format,
            };
            shard.signal(feed, frame.clone());
        }
    }

    /// Shards with subscribers, by format.
    pub(super) fn readers(
        &self,
        conversation: ConversationId,
    ) -> impl Iterator<Item = (&ShardHandle, Format)> {
        let row = self.rows.get(&conversation);
        let readers = row.into_iter().flat_map(|row| row.readers.iter());
        readers.filter_map(|it| Some((self.fanout.shard(usize::from(it.shard))?, it.format)))
    }
}

impl Reader {
    fn is(&self, shard: usize, format: Format) -> bool {
        usize::from(self.shard) == shard && self.format == format
    }
}

impl super::actor::Row {
    fn read_by(&mut self, shard: usize, format: Format, hold: u64) {
        match self.readers.iter_mut().find(|it| it.is(shard, format)) {
            Some(reader) => reader.hold = reader.hold.max(hold),
            None => self.readers.push(Reader {
                shard: u16::try_from(shard).unwrap_or(u16::MAX),
                format,
                hold,
            }),
        }
    }
}
