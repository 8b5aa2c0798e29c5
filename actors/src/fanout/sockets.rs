//! Sockets of one shard: attached, written, closed, looked after.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use fanfare_protocol::limits::{BESIDE_MS, CLOSE_MS_MAX, SPARE_RINGS_MAX};
use fanfare_protocol::{ConversationId, UserId};

use super::command::{Close, Line, SocketId, Watch};
use super::flush::flush;
use super::format::Feed;
use super::shard::Shard;
use super::socket::{Closing, Socket};
use super::wire::Wire;
use crate::clock::monotonic_ms;

/// What a socket's timer finds.
enum Due {
    Nothing,
    Ping,
    Close(u16, &'static str),
    Remove,
}

impl Shard {
    pub(super) fn attach(
        &mut self,
        id: SocketId,
        wire: Wire,
        line: Arc<Line>,
        watch: Arc<dyn Watch>,
    ) {
        let now_ms = monotonic_ms();
        metrics::gauge!("fanfare_sockets").increment(1.0);
        let key = self.sockets.insert(Socket {
            serial: id.serial,
            format: id.format,
            queued: false,
            wire,
            line,
            watch,
            user: None,
            opened_ms: now_ms,
            expires_ms: None,
            ping_ms: first_ping_ms(id.serial, now_ms, self.limits.heartbeat_ms),
            beside_ms: None,
            timer_ms: u64::MAX,
            subscriptions: Vec::new(),
            dirty: Vec::new(),
            control: std::collections::VecDeque::new(),
            partial: None,
            blocked_ms: None,
            waker: None,
            closing: None,
        });
        let key = u32::try_from(key).unwrap_or(u32::MAX);
        self.keys.insert(id.serial, key);
        self.set_timer(key);
        self.send_away(key);
    }

    pub(super) fn key(&self, serial: u64) -> Option<u32> {
        self.keys.get(&serial).copied()
    }

    pub(super) fn identify(&mut self, serial: u64, user: UserId, expires_ms: u64) {
        let Some(key) = self.key(serial) else { return };
        if let Some(socket) = self.sockets.get_mut(key as usize) {
            socket.user = Some(user);
            socket.expires_ms = Some(expires_ms);
            self.set_timer(key);
        }
    }

    /// A frame whose bytes its sender has counted already.
    pub(super) fn control(&mut self, serial: u64, frame: Bytes) {
        if let Some(key) = self.key(serial) {
            self.control_counted(key, frame);
        }
    }

    /// A frame of the shard's own.
    pub(super) fn control_own(&mut self, key: u32, frame: Bytes) {
        if let Some(socket) = self.sockets.get(key as usize) {
            let backlog_bytes = &socket.line.backlog_bytes;
            backlog_bytes.fetch_add(frame.len(), Ordering::Relaxed);
            self.control_counted(key, frame);
        }
    }

    /// A frame that waits for the conversation's next entries, where they are
    /// delivered to its socket.
    pub(super) fn beside(&mut self, id: SocketId, conversation: ConversationId, frame: Bytes) {
        let Some(key) = self.key(id.serial) else {
            return;
        };
        let feed = Feed {
            conversation,
            format: id.format,
        };
        let row = self.places.get(&feed).copied();
        let socket = self.sockets.get_mut(key as usize);
        let rides = |socket: &Socket| row.is_some_and(|row| socket.slot_of(row).is_some());
        match socket.filter(|socket| socket.closing.is_none() && rides(socket)) {
            None => self.control_counted(key, frame),
            Some(socket) if socket.backlog_bytes() > self.limits.control_queue_bytes_max => {
                // As any signal then: the next one tells what this one would.
                socket.written_off(frame.len());
            }
            Some(socket) => {
                socket.control.push_back(frame);
                socket
                    .beside_ms
                    .get_or_insert_with(|| monotonic_ms() + BESIDE_MS);
                self.set_timer(key);
            }
        }
    }

    fn control_counted(&mut self, key: u32, frame: Bytes) {
        let Some(socket) = self.sockets.get_mut(key as usize) else {
            return;
        };
        if socket.closing.is_some() {
            // Nothing comes behind the close.
            return socket.written_off(frame.len());
        }
        socket.control.push_back(frame);
        if socket.backlog_bytes() > 2 * self.limits.control_queue_bytes_max {
            self.close(key, &Close::new(4000, "slow consumer"), false);
        } else {
            self.queue(key, true);
        }
    }

    pub(super) fn queue(&mut self, key: u32, first: bool) {
        let Some(socket) = self.sockets.get_mut(key as usize) else {
            return;
        };
        if socket.queued || socket.blocked_ms.is_some() {
            return;
        }
        socket.queued = true;
        if first {
            self.dirty.push_front(key);
        } else {
            self.dirty.push_back(key);
        }
    }

    /// The kernel takes bytes of these again.
    pub(super) fn unblock(&mut self) {
        let keys = std::mem::take(&mut *self.writable.keys.lock());
        for (key, serial) in keys {
            let socket = self.sockets.get_mut(key as usize);
            if let Some(socket) = socket.filter(|socket| socket.serial == serial) {
                socket.blocked_ms = None;
                self.queue(key, false);
            }
        }
    }

    /// Writes what one write takes; the rest is queued again.
    pub(super) fn flush(&mut self, key: u32) {
        let Some(socket) = self.sockets.get_mut(key as usize) else {
            return;
        };
        let was_blocked = socket.blocked_ms.is_some();
        let flushed = &mut self.flushed;
        flush(key, socket, &mut self.rows, &self.writable, flushed);
        self.counts.writes += u64::from(flushed.bytes > 0);
        self.counts.entries += std::mem::take(&mut flushed.entries);
        self.counts.bytes += std::mem::take(&mut flushed.bytes) as u64;
        self.held_bytes -= std::mem::take(&mut flushed.freed_bytes).cast_signed();
        flushed.spare.truncate(SPARE_RINGS_MAX);
        if std::mem::take(&mut flushed.broken) {
            flushed.ended.clear();
            self.ask_for_pages();
            return self.remove(key);
        }
        let written = socket.partial.is_none() && socket.control.is_empty();
        if written {
            socket.beside_ms = None;
        }
        if let Some(closing) = socket.closing.as_mut().filter(|it| written && !it.finished) {
            closing.finished = true;
            socket.wire.finish();
            socket.line.finished.store(true, Ordering::Relaxed);
            socket.line.drained.notify_waiters();
        }
        let blocked = socket.blocked_ms.is_some();
        if !blocked && socket.has_more() {
            self.queue(key, false);
        }
        if blocked && !was_blocked {
            self.set_timer(key);
        }
        self.ask_for_pages();
        while let Some(row) = self.flushed.ended.pop() {
            self.end(key, row);
        }
    }

    fn ask_for_pages(&mut self) {
        for (feed, page) in self.flushed.fetch.drain(..) {
            self.source.fetch(self.at, feed, page);
        }
    }

    /// A subscription had its last entry.
    pub(super) fn end(&mut self, key: u32, row: u32) {
        let Some(feed) = self.rows.get(row as usize).map(|row| row.feed) else {
            return;
        };
        self.unsubscribe(key, row);
        if let Some(socket) = self.sockets.get(key as usize) {
            socket.watch.ended(feed.conversation);
        }
    }

    /// Begins to close. With `after_queue` what waits is still written.
    pub(super) fn close(&mut self, key: u32, close: &Close, after_queue: bool) {
        let Some(socket) = self.sockets.get_mut(key as usize) else {
            return;
        };
        if socket.closing.is_some() {
            return;
        }
        metrics::counter!("fanfare_closes_total", "code" => close.code.to_string()).increment(1);
        if !after_queue && socket.blocked_ms.is_some() {
            socket.forget_queue();
        }
        let frame = socket.format.close(close);
        let backlog_bytes = &socket.line.backlog_bytes;
        backlog_bytes.fetch_add(frame.len(), Ordering::Relaxed);
        socket.control.push_back(frame);
        socket.closing = Some(Closing {
            deadline_ms: monotonic_ms() + CLOSE_MS_MAX,
            finished: false,
        });
        socket.line.over.store(true, Ordering::Relaxed);
        socket.line.drained.notify_waiters();
        self.unsubscribe_all(key);
        self.set_timer(key);
        self.queue(key, true);
    }

    pub(super) fn remove(&mut self, key: u32) {
        self.unsubscribe_all(key);
        if let Some(socket) = self.sockets.try_remove(key as usize) {
            self.keys.remove(&socket.serial);
            metrics::gauge!("fanfare_sockets").decrement(1.0);
            socket.line.over.store(true, Ordering::Relaxed);
            socket.line.finished.store(true, Ordering::Relaxed);
            socket.line.drained.notify_waiters();
            socket.wire.abort();
            socket.watch.closed();
        }
    }

    // --- time --------------------------------------------------------------

    /// Sees to it that a socket is looked at as soon as something about it
    /// comes due.
    fn set_timer(&mut self, key: u32) {
        let Some(socket) = self.sockets.get_mut(key as usize) else {
            return;
        };
        let limits = &self.limits;
        let due_ms = match socket.closing {
            Some(closing) => closing.deadline_ms,
            None => {
                let heard_ms = socket.line.heard_ms.load(Ordering::Relaxed);
                let blocked = socket.blocked_ms.map(|at| at + limits.slow_reader_ms_max);
                let nobody = socket.user.is_none();
                let hello = nobody.then_some(socket.opened_ms + limits.hello_ms_max);
                let ping_ms = socket.ping_ms;
                let answers = socket.format.answers_pings();
                let silent = answers.then_some(heard_ms + 2 * limits.heartbeat_ms);
                let others = [blocked, hello, silent, socket.expires_ms, socket.beside_ms];
                others.into_iter().flatten().fold(ping_ms, u64::min)
            }
        };
        // One that is set already and comes earlier sets this one again.
        if due_ms < socket.timer_ms {
            socket.timer_ms = due_ms;
            self.timers.set(due_ms, (key, socket.serial));
        }
    }

    /// Looks at the sockets whose time has come, begins passes that waited.
    pub(super) fn take_due(&mut self, now_ms: u64) {
        while let Some((due_ms, row)) = self.hot.front().copied() {
            if due_ms > now_ms {
                break;
            }
            self.hot.pop_front();
            self.begin_pass(row, now_ms);
        }
        while let Some(due) = self.timers.take_due(now_ms) {
            for (key, serial) in due {
                self.look_at(key, serial, now_ms);
            }
        }
    }

    fn look_at(&mut self, key: u32, serial: u64, now_ms: u64) {
        let socket = self.sockets.get_mut(key as usize);
        let Some(socket) = socket.filter(|socket| socket.serial == serial) else {
            return;
        };
        if socket.timer_ms > now_ms {
            // It was looked at earlier and set again.
            return;
        }
        socket.timer_ms = u64::MAX;
        let rode_long = socket.beside_ms.take_if(|at| *at <= now_ms).is_some();
        let limits = &self.limits;
        let heard_ms = socket.line.heard_ms.load(Ordering::Relaxed);
        let late = |since: u64, ms: u64| now_ms >= since + ms;
        let blocked = |at: u64| late(at, limits.slow_reader_ms_max);
        let due = if let Some(closing) = socket.closing {
            if now_ms >= closing.deadline_ms {
                Due::Remove
            } else {
                Due::Nothing
            }
        } else if socket.blocked_ms.is_some_and(blocked) {
            Due::Close(4000, "slow consumer")
        } else if socket.user.is_none() && late(socket.opened_ms, limits.hello_ms_max) {
            Due::Close(1008, "no session:hello in time")
        } else if socket.expires_ms.is_some_and(|at| now_ms >= at) {
            Due::Close(4200, "token expired")
        } else if socket.format.answers_pings() && late(heard_ms, 2 * limits.heartbeat_ms) {
            Due::Close(4001, "idle")
        } else if now_ms >= socket.ping_ms {
            socket.ping_ms = now_ms + limits.heartbeat_ms.max(1);
            Due::Ping
        } else {
            Due::Nothing
        };
        match due {
            Due::Nothing if rode_long => self.queue(key, false),
            Due::Nothing => {}
            Due::Ping => {
                let ping = socket.format.ping();
                socket.watch.heartbeat();
                self.control_own(key, ping);
            }
            Due::Close(code, reason) => self.close(key, &Close::new(code, reason), false),
            Due::Remove => return self.remove(key),
        }
        self.set_timer(key);
    }
}

/// Pings of sockets that came together are spread over a heartbeat: by a
/// stride prime to any sensible one.
fn first_ping_ms(serial: u64, now_ms: u64, heartbeat_ms: u64) -> u64 {
    let heartbeat_ms = heartbeat_ms.max(1);
    now_ms + heartbeat_ms - serial.wrapping_mul(7919) % heartbeat_ms
}

#[cfg(test)]
mod tests {
    use super::first_ping_ms;

    #[test]
    fn pings_of_those_who_come_when_the_node_starts_are_spread() {
        let mut tenths = [0; 10];
        for serial in 0..1000 {
            let ping_ms = first_ping_ms(serial, 5, 20_000);
            assert!((6..=20_005).contains(&ping_ms), "{ping_ms}");
            tenths[usize::try_from((ping_ms - 6) / 2000).unwrap()] += 1;
        }
        assert!(
            tenths.iter().all(|pings| (90..=110).contains(pings)),
            "{tenths:?}"
        );
    }
}
