//! Subscriptions of one shard: cursors that are held, released, moved, ended.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::PAGES_SWEPT_MIN;

use super::command::{Frames, Start};
use super::conversation::Row;
use super::shard::Shard;
use super::socket::Subscription;

impl Shard {
    pub(super) fn hold(
        &mut self,
        serial: u64,
        conversation: ConversationId,
        head: u64,
        number: u64,
    ) {
        let Some(socket) = self
            .sockets
            .get_mut(&serial)
            .filter(|it| it.closing.is_none())
        else {
            if !self.rows.contains_key(&conversation) {
                self.source.idle(self.at, conversation, number);
            }
            return;
        };
        // A row that is there moves by its entries only: they say who ends.
        let row = self
            .rows
            .entry(conversation)
            .or_insert_with(|| Row::at(head));
        row.hold = number;
        row.subscribers.insert(serial);
        let old = socket.subscriptions.insert(
            conversation,
            Subscription {
                held: true,
                ..Subscription::default()
            },
        );
        if let Some(old) = old {
            if old.behind {
                row.behind = row.behind.saturating_sub(1);
            }
            socket.dirty.retain(|dirty| *dirty != conversation);
        }
    }

    pub(super) fn release(&mut self, serial: u64, frame: Option<Bytes>, from: Vec<Start>) {
        if let Some(frame) = frame {
            self.control(serial, frame);
        }
        for start in from {
            let conversation = start.conversation;
            let Some(socket) = self.sockets.get_mut(&serial) else {
                return;
            };
            let Some(row) = self.rows.get_mut(&conversation) else {
                continue;
            };
            let Some(subscription) = socket.subscriptions.get_mut(&conversation) else {
                continue;
            };
            subscription.held = false;
            subscription.next_seq = start.seq.saturating_add(1);
            subscription.joined_seq = start.joined_seq;
            for seq in std::mem::take(&mut subscription.removals) {
                subscription.removed_at(seq);
            }
            if subscription
                .end_seq
                .is_some_and(|end| subscription.next_seq > end)
            {
                socket.watch.ended(conversation);
                self.unsubscribe(serial, conversation);
            } else if subscription.next_seq <= row.head && !subscription.behind {
                subscription.behind = true;
                row.behind += 1;
                socket.list(conversation);
                self.queue(serial, false);
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, serial: u64, conversation: ConversationId) {
        let Some(socket) = self.sockets.get_mut(&serial) else {
            return;
        };
        let Some(subscription) = socket.subscriptions.remove(&conversation) else {
            return;
        };
        if subscription.listed {
            socket.dirty.retain(|dirty| *dirty != conversation);
        }
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        row.subscribers.remove(&serial);
        if subscription.behind {
            row.behind = row.behind.saturating_sub(1);
            self.held_bytes -= row.settle().cast_signed();
        }
        if row.subscribers.is_empty() {
            self.held_bytes -= row.held_bytes().cast_signed();
            let hold = row.hold;
            self.rows.remove(&conversation);
            self.source.idle(self.at, conversation, hold);
        }
    }

    pub(super) fn entries(&mut self, frames: &Frames) {
        let Some(row) = self.rows.get_mut(&frames.conversation) else {
            return;
        };
        self.held_bytes += row.extend(frames.first_seq, &frames.frames, self.limits.ring_bytes_max);
        // What is deleted may stand among these frames themselves.
        if !frames.evicted.is_empty() {
            self.held_bytes -= row.evict(&frames.evicted).cast_signed();
        }
        for (seq, users) in &frames.ends {
            for serial in &row.subscribers {
                let Some(socket) = self.sockets.get_mut(serial) else {
                    continue;
                };
                let gone = match (users, socket.user) {
                    (None, _) => true,
                    (Some(users), Some(user)) => users.contains(&user),
                    (Some(_), None) => false,
                };
                let subscription = socket.subscriptions.get_mut(&frames.conversation);
                if let Some(subscription) = subscription.filter(|_| gone) {
                    subscription.removed_at(*seq);
                }
            }
        }
        self.moved(frames.conversation);
        self.keep_budget();
    }

    pub(super) fn head(&mut self, conversation: ConversationId, seq: u64) {
        if let Some(row) = self.rows.get_mut(&conversation)
            && row.head < seq
        {
            row.head = seq;
            self.moved(conversation);
        }
    }

    /// Lists every subscriber whose cursor is below the head.
    fn moved(&mut self, conversation: ConversationId) {
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        let mut lagging = Vec::with_capacity(row.subscribers.len());
        for serial in &row.subscribers {
            let Some(socket) = self.sockets.get_mut(serial) else {
                continue;
            };
            let Some(subscription) = socket.subscriptions.get_mut(&conversation) else {
                continue;
            };
            if subscription.held || subscription.next_seq > row.head {
                continue;
            }
            if !subscription.behind {
                subscription.behind = true;
                row.behind += 1;
            }
            socket.list(conversation);
            lagging.push(*serial);
        }
        self.held_bytes -= row.settle().cast_signed();
        for serial in lagging {
            self.queue(serial, false);
        }
    }

    pub(super) fn page(
        &mut self,
        conversation: ConversationId,
        page: u64,
        frames: Arc<Vec<Bytes>>,
    ) {
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        let (waited, added) = row.take_page(page, frames);
        self.held_bytes += added;
        self.pages.push_back((conversation, page));
        self.wake(conversation, &waited);
        self.keep_budget();
        self.sweep_pages();
    }

    /// Forgets the places of pages that are gone or stand there twice, when
    /// they may be half of all.
    fn sweep_pages(&mut self) {
        if self.pages.len() < PAGES_SWEPT_MIN.max(2 * self.pages_swept) {
            return;
        }
        let (rows, mut seen) = (&self.rows, HashSet::new());
        self.pages.retain(|place| {
            let there = rows.get(&place.0).is_some_and(|row| row.has_page(place.1));
            there && seen.insert(*place)
        });
        self.pages_swept = self.pages.len();
    }

    pub(super) fn wake(&mut self, conversation: ConversationId, sockets: &HashSet<u64>) {
        for serial in sockets {
            if let Some(socket) = self.sockets.get_mut(serial) {
                socket.list(conversation);
                self.queue(*serial, false);
            }
        }
    }

    fn keep_budget(&mut self) {
        while self.held_bytes > self.bytes_max {
            let Some((conversation, page)) = self.pages.pop_front() else {
                return;
            };
            if let Some(row) = self.rows.get_mut(&conversation) {
                self.held_bytes -= row.drop_page(page).cast_signed();
            }
        }
    }

    pub(super) fn signal(&mut self, conversation: ConversationId, frame: &Bytes) {
        let Some(row) = self.rows.get(&conversation) else {
            return;
        };
        let receivers: Vec<u64> = row.subscribers.iter().copied().collect();
        for serial in receivers {
            let Some(socket) = self.sockets.get(&serial) else {
                continue;
            };
            let held = socket
                .subscriptions
                .get(&conversation)
                .is_none_or(|it| it.held);
            if !held && socket.backlog_bytes() < self.limits.control_queue_bytes_max {
                self.control_own(serial, frame.clone());
            }
        }
    }
}
