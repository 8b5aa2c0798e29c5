//! Subscriptions of one shard: cursors that are held, released, moved, ended.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::{
    HOT_ROOM_WINDOW_MS, LARGE_ROOM_SUBSCRIBERS, PAGES_SWEPT_MIN, SHARD_WRITES_PER_TURN,
};
use slab::Slab;

use super::command::{Ends, Frames, SocketId, Start};
use super::conversation::{Place, Row};
use super::format::Feed;
use super::run::Run;
use super::shard::Shard;
use super::socket::{Socket, Subscription};
use crate::clock::monotonic_ms;

/// What came of writing a subscription's new frames by themselves.
enum Alone {
    /// All of it is written, or there is nobody.
    Done,
    /// The rest must wait.
    Rest,
    /// It was not tried, or failed.
    Not,
}

impl Shard {
    pub(super) fn hold(
        &mut self,
        id: SocketId,
        conversation: ConversationId,
        head: u64,
        number: u64,
    ) {
        let feed = Feed {
            conversation,
            format: id.format,
        };
        let key = self.key(id.serial);
        let socket = key.and_then(|key| Some((key, self.sockets.get_mut(key as usize)?)));
        let Some((key, socket)) = socket.filter(|(_, socket)| socket.closing.is_none()) else {
            if !self.places.contains_key(&feed) {
                self.source.idle(self.at, feed, number);
            }
            return;
        };
        // A row that is there moves by its entries only: they say who ends.
        let rows = &mut self.rows;
        let at = *self.places.entry(feed).or_insert_with(|| {
            let at = rows.insert(Row::at(feed, head));
            u32::try_from(at).unwrap_or(u32::MAX)
        });
        let Some(row) = rows.get_mut(at as usize) else {
            return;
        };
        row.hold = number;
        if let Some(slot) = socket.slot_of(at) {
            socket.dirty.retain(|dirty| *dirty != slot);
            if let Some(old) = socket.subscriptions.get_mut(slot as usize) {
                row.behind = row.behind.saturating_sub(u32::from(old.behind));
                *old = Subscription::held(at, old.place);
            }
        } else {
            let slot = u32::try_from(socket.subscriptions.len()).unwrap_or(u32::MAX);
            let place = row.add(Place { socket: key, slot });
            socket.subscriptions.push(Subscription::held(at, place));
        }
    }

    pub(super) fn release(&mut self, id: SocketId, frame: Option<Bytes>, from: &[Start]) {
        let Some(key) = self.key(id.serial) else {
            return;
        };
        if let Some(frame) = frame {
            self.control(id.serial, frame);
        }
        for start in from {
            let feed = Feed {
                conversation: start.conversation,
                format: id.format,
            };
            self.release_one(key, feed, *start);
        }
        if let Some(socket) = self.sockets.get_mut(key as usize) {
            socket.subscriptions.shrink_to_fit();
        }
    }

    fn release_one(&mut self, key: u32, feed: Feed, start: Start) {
        let Some(at) = self.places.get(&feed).copied() else {
            return;
        };
        let Some(socket) = self.sockets.get_mut(key as usize) else {
            return;
        };
        let Some(slot) = socket.slot_of(at) else {
            return;
        };
        let Some(subscription) = socket.subscriptions.get_mut(slot as usize) else {
            return;
        };
        subscription.release(start.seq, start.joined_seq);
        if subscription.has_ended() {
            return self.end(key, at);
        }
        let place = Place { socket: key, slot };
        if self.list(at, place) {
            self.queue(key, false);
        }
    }

    pub(super) fn unsubscribe_from(&mut self, id: SocketId, conversation: ConversationId) {
        let feed = Feed {
            conversation,
            format: id.format,
        };
        let places = self.key(id.serial).zip(self.places.get(&feed).copied());
        if let Some((key, row)) = places {
            self.unsubscribe(key, row);
        }
    }

    pub(super) fn unsubscribe_all(&mut self, key: u32) {
        // The last one first: none has to move.
        while let Some(row) = self
            .sockets
            .get(key as usize)
            .and_then(|socket| socket.subscriptions.last())
            .map(|subscription| subscription.row)
        {
            self.unsubscribe(key, row);
        }
    }

    pub(super) fn unsubscribe(&mut self, key: u32, at: u32) {
        let Some(socket) = self.sockets.get_mut(key as usize) else {
            return;
        };
        let Some(slot) = socket.slot_of(at) else {
            return;
        };
        let old = socket.take_subscription(slot);
        if let Some(moved) = socket.subscriptions.get(slot as usize)
            && let Some(row) = self.rows.get_mut(moved.row as usize)
            && let Some(place) = row.subscribers.get_mut(moved.place as usize)
        {
            place.slot = slot;
        }
        let Some(row) = self.rows.get_mut(at as usize) else {
            return;
        };
        row.behind = row.behind.saturating_sub(u32::from(old.behind));
        if let Some((moved, missed)) = row.remove(old.place) {
            let socket = self.sockets.get_mut(moved.socket as usize);
            let subscription = socket.and_then(|it| it.subscriptions.get_mut(moved.slot as usize));
            if let Some(subscription) = subscription {
                subscription.place = old.place;
            }
            if missed && self.list(at, moved) {
                self.queue(moved.socket, false);
            }
        }
        self.settle(at);
        let Some(row) = self.rows.get(at as usize) else {
            return;
        };
        if row.subscribers.is_empty() {
            let (feed, hold) = (row.feed, row.hold);
            self.held_bytes -= row.held_bytes().cast_signed();
            self.rows.remove(at as usize);
            self.places.remove(&feed);
            self.source.idle(self.at, feed, hold);
        }
    }

    /// Frees what nobody needs any more.
    fn settle(&mut self, at: u32) {
        if let Some(row) = self.rows.get_mut(at as usize) {
            self.held_bytes -= row.settle().cast_signed();
            self.flushed.spare.extend(row.take_empty());
        }
    }

    pub(super) fn entries(&mut self, frames: &Frames) {
        let Some(at) = self.places.get(&frames.feed).copied() else {
            return;
        };
        let Some(row) = self.rows.get_mut(at as usize) else {
            return;
        };
        if row.held.is_none() {
            row.held = self.flushed.spare.pop();
        }
        self.held_bytes += row.extend(&frames.run, self.limits.ring_bytes_max);
        if let Some(ends) = &frames.ends {
            // What is deleted may stand among these frames themselves.
            self.held_bytes -= row.evict(&ends.evicted).cast_signed();
            end_users(&mut self.sockets, row, ends);
        }
        self.moved(at);
        self.keep_budget();
    }

    pub(super) fn head(&mut self, feed: Feed, seq: u64) {
        if let Some(at) = self.places.get(&feed).copied()
            && let Some(row) = self.rows.get_mut(at as usize)
            && row.head < seq
        {
            row.head = seq;
            self.moved(at);
        }
    }

    // --- who is behind -----------------------------------------------------

    /// Sees to it that every subscriber below the head is written: of a small
    /// row at once, of a large one in slices.
    fn moved(&mut self, at: u32) {
        let Some(row) = self.rows.get_mut(at as usize) else {
            return;
        };
        if row.subscribers.len() > LARGE_ROOM_SUBSCRIBERS {
            let now_ms = monotonic_ms();
            let next_ms = row.pass.began_ms + HOT_ROOM_WINDOW_MS;
            if row.pass.waits {
                // Begins soon anyway.
            } else if now_ms >= next_ms {
                self.begin_pass(at, now_ms);
            } else {
                row.pass.waits = true;
                self.hot.push_back((next_ms, at));
            }
            return;
        }
        for place in 0..row.subscribers.len() {
            let row = self.rows.get(at as usize);
            let Some(place) = row.and_then(|row| row.subscribers.get(place)).copied() else {
                break;
            };
            if self.list(at, place) {
                self.queue(place.socket, false);
            }
        }
        self.settle(at);
    }

    /// Everybody is looked at once from now on.
    pub(super) fn begin_pass(&mut self, at: u32, now_ms: u64) {
        let Some(row) = self.rows.get_mut(at as usize) else {
            return;
        };
        if row.pass.left == 0 {
            self.large.push_back(at);
        }
        row.pass.waits = false;
        row.pass.began_ms = now_ms;
        row.pass.left = u32::try_from(row.subscribers.len()).unwrap_or(u32::MAX);
    }

    /// One slice of the large row whose turn it is.
    pub(super) fn advance_pass(&mut self) {
        let Some(at) = self.large.pop_front() else {
            return;
        };
        for _ in 0..SHARD_WRITES_PER_TURN {
            let Some(place) = self.rows.get_mut(at as usize).and_then(Row::next_in_pass) else {
                break;
            };
            match self.write_alone(at, place) {
                Alone::Done => {}
                Alone::Rest => {
                    self.list(at, place);
                    self.queue(place.socket, false);
                }
                Alone::Not if self.list(at, place) => self.flush(place.socket),
                Alone::Not => {}
            }
        }
        match self.rows.get(at as usize) {
            Some(row) if row.pass.left > 0 => self.large.push_back(at),
            _ => self.settle(at),
        }
    }

    /// The common case of a large room: what is new is all that the socket
    /// waits for and the kernel takes it whole. As [`Shard::flush`], without
    /// the lists: each of a thousand sockets is cold memory.
    fn write_alone(&mut self, at: u32, place: Place) -> Alone {
        let Some(row) = self.rows.get(at as usize) else {
            return Alone::Done;
        };
        let Some(socket) = self.sockets.get_mut(place.socket as usize) else {
            return Alone::Done;
        };
        let waits = socket.queued || socket.blocked_ms.is_some() || socket.has_more();
        let Some(subscription) = socket.subscriptions.get_mut(place.slot as usize) else {
            return Alone::Done;
        };
        let next_seq = subscription.next_seq;
        if waits || !subscription.is_plain() || next_seq > row.head {
            return Alone::Not;
        }
        let Some(run) = row.run(next_seq).filter(|run| run.next_seq() > row.head) else {
            return Alone::Not;
        };
        let frames = run.frames(next_seq, row.head);
        // Errors come again where they are looked after.
        let Ok(written) = socket.wire.try_write(frames) else {
            return Alone::Not;
        };
        let whole = written == frames.len();
        let (next_seq, rest) = match whole {
            true => (row.head + 1, None),
            false => run.cut(next_seq, written),
        };
        self.counts.writes += 1;
        self.counts.entries += next_seq - subscription.next_seq;
        self.counts.bytes += written as u64;
        subscription.next_seq = next_seq;
        socket.partial = rest;
        match whole {
            true => Alone::Done,
            false => Alone::Rest,
        }
    }

    /// Lists a subscription that is below the head as something to write;
    /// `true` when its socket should be written and is not queued yet.
    fn list(&mut self, at: u32, place: Place) -> bool {
        let Some(row) = self.rows.get_mut(at as usize) else {
            return false;
        };
        let Some(socket) = self.sockets.get_mut(place.socket as usize) else {
            return false;
        };
        let Some(subscription) = socket.subscriptions.get_mut(place.slot as usize) else {
            return false;
        };
        if subscription.held || subscription.next_seq > row.head {
            return false;
        }
        if !subscription.behind {
            subscription.behind = true;
            row.behind += 1;
        }
        if subscription.listed || subscription.waits {
            return false;
        }
        subscription.listed = true;
        socket.dirty.push(place.slot);
        !socket.queued && socket.blocked_ms.is_none()
    }

    // --- pages -------------------------------------------------------------

    pub(super) fn page(&mut self, feed: Feed, page: u64, run: Option<Arc<Run>>) {
        let Some(at) = self.places.get(&feed).copied() else {
            return;
        };
        let Some(held) = self
            .rows
            .get_mut(at as usize)
            .and_then(|row| row.held.as_mut())
        else {
            return;
        };
        let waited = held.waited(page);
        if let Some(run) = run {
            self.held_bytes += held.keep_page(page, run);
            self.pages.push_back((feed, page));
        }
        self.wake(at, &waited);
        self.keep_budget();
        self.sweep_pages();
    }

    /// Whoever waited for a page tries again.
    pub(super) fn wake(&mut self, at: u32, sockets: &[u32]) {
        for key in sockets {
            let Some(socket) = self.sockets.get_mut(*key as usize) else {
                continue;
            };
            let Some(slot) = socket.slot_of(at) else {
                continue;
            };
            if let Some(subscription) = socket.subscriptions.get_mut(slot as usize) {
                subscription.waits = false;
            }
            let place = Place { socket: *key, slot };
            if self.list(at, place) {
                self.queue(*key, false);
            }
        }
        self.settle(at);
    }

    fn keep_budget(&mut self) {
        while self.held_bytes > self.bytes_max {
            let Some((feed, page)) = self.pages.pop_front() else {
                return;
            };
            self.drop_page(feed, page);
        }
    }

    fn drop_page(&mut self, feed: Feed, page: u64) {
        let at = self.places.get(&feed).copied();
        let row = at.and_then(|at| self.rows.get_mut(at as usize));
        if let Some(held) = row.and_then(|row| row.held.as_mut()) {
            self.held_bytes -= held.drop_page(page).cast_signed();
        }
    }

    /// Forgets the places of pages that are gone or stand there twice, when
    /// they may be half of all.
    fn sweep_pages(&mut self) {
        if self.pages.len() < PAGES_SWEPT_MIN.max(2 * self.pages_swept) {
            return;
        }
        let (places, rows, mut seen) = (&self.places, &self.rows, HashSet::new());
        self.pages.retain(|(feed, page)| {
            let at = places.get(feed);
            let row = at.and_then(|at| rows.get(*at as usize));
            let held = row.and_then(|row| row.held.as_ref());
            held.is_some_and(|held| held.has_page(*page)) && seen.insert((*feed, *page))
        });
        self.pages_swept = self.pages.len();
    }

    // --- signals -----------------------------------------------------------

    pub(super) fn signal(&mut self, feed: Feed, frame: &Bytes) {
        let Some(at) = self.places.get(&feed).copied() else {
            return;
        };
        for place in 0.. {
            let row = self.rows.get(at as usize);
            let Some(place) = row.and_then(|row| row.subscribers.get(place)).copied() else {
                return;
            };
            let Some(socket) = self.sockets.get(place.socket as usize) else {
                continue;
            };
            let subscription = socket.subscriptions.get(place.slot as usize);
            let held = subscription.is_none_or(|it| it.held);
            if !held && socket.backlog_bytes() < self.limits.control_queue_bytes_max {
                self.control_own(place.socket, frame.clone());
            }
        }
    }
}

/// Notes whose delivery ends with which entry.
fn end_users(sockets: &mut Slab<Socket>, row: &Row, ends: &Ends) {
    for (seq, users) in &ends.users {
        for place in &row.subscribers {
            let Some(socket) = sockets.get_mut(place.socket as usize) else {
                continue;
            };
            let gone = match (users, socket.user) {
                (None, _) => true,
                (Some(users), Some(user)) => users.contains(&user),
                (Some(_), None) => false,
            };
            let subscription = socket.subscriptions.get_mut(place.slot as usize);
            if let Some(subscription) = subscription.filter(|_| gone) {
                subscription.removed_at(*seq);
            }
        }
    }
}
