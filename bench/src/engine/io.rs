//! What an [`Generator`] does with its sockets in one turn.

use rustix::event::{Timespec, epoll};

use super::Generator;
use super::connection::Connection;
use super::generator::{READ_BYTES, STARTS_PER_TURN, UNSENT_BYTES_MAX};
use super::tally::Hand;
use crate::check::{Fault, Seat};
use crate::dialect::{Dialect, Message, Who};
use crate::plan::Plan;
use crate::schedule::Schedule;

/// A wait shorter than this did not sleep: something was there before.
const AWAKE_NS: u64 = 5_000;

impl<D: Dialect> Generator<D> {
    /// Starts connections while fewer than `at_once` are under way.
    pub(super) fn start_some(&mut self) {
        for _ in 0..STARTS_PER_TURN {
            if self.under_way() >= self.at_once {
                return;
            }
            let Some(number) = self.to_start.pop_front() else {
                return;
            };
            self.started += 1;
            if let Err(error) = self.start_one(number) {
                self.tally.dead += 1;
                (self.tally.unready).add(1, || format!("receiver {number}: {error}"));
            }
        }
    }

    fn start_one(&mut self, number: u32) -> std::io::Result<()> {
        let Some(member) = self.plan.members.get(number as usize) else {
            return Err(std::io::Error::other("no such member"));
        };
        let seats = (member.rooms.iter())
            .map(|room| Seat {
                room: *room,
                next: 1,
                seq: 0,
            })
            .collect();
        let slow = self.slow.contains(&number);
        let now = self.clock.now_ns();
        let server = (self.plan.address, self.plan.tls.as_ref());
        let mut connection = Connection::start(server, number, seats, slow, now)?;
        (self.dialect).open(
            &mut connection.link,
            &who(&self.plan, number),
            &mut connection.out,
        );
        connection.watches_write = true;
        if let Some(stream) = &connection.stream {
            let data = epoll::EventData::new_u64(u64::from(number));
            epoll::add(&self.epoll, stream, data, READ_AND_WRITE)?;
        }
        let at = number as usize / self.of;
        if let Some(place) = self.connections.get_mut(at) {
            *place = Some(connection);
        }
        Ok(())
    }

    /// Sends every message whose time has come, one write per socket.
    pub(super) fn send_due(&mut self, schedule: &mut Schedule, now_ns: u64) {
        while let Some((room, intended_ns)) = schedule.take(now_ns) {
            let lag = now_ns - intended_ns;
            self.tally.times.send_lag.saturating_record(lag);
            self.send(room, intended_ns);
        }
        self.flush_dirty();
    }

    fn send(&mut self, room: u32, intended_ns: u64) {
        let at = room as usize;
        let (Some(publisher), Some(sent)) = (self.plan.publishers.get(at), self.sent.get_mut(at))
        else {
            return;
        };
        let place = *publisher as usize / self.of;
        let Some(Some(connection)) = self.connections.get_mut(place) else {
            return;
        };
        if connection.stream.is_none() {
            return;
        }
        *sent += 1;
        let message = Message {
            room,
            number: *sent,
            intended_ns,
            payload_bytes: self.plan.payload_bytes,
        };
        let who = who(&self.plan, *publisher);
        (self.dialect).publish(&mut connection.link, &who, &message, &mut connection.out);
        self.tally.sent += 1;
        self.expected += self.receivers.get(at).copied().unwrap_or(0);
        self.overrun |= connection.out.len() > UNSENT_BYTES_MAX;
        if !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(*publisher);
        }
    }

    /// Waits for sockets, at most `wait_ns`.
    pub(super) fn wait(
        &mut self,
        events: &mut Vec<epoll::Event>,
        wait_ns: u64,
    ) -> anyhow::Result<()> {
        let timeout = Timespec {
            tv_sec: (wait_ns / 1_000_000_000) as i64,
            tv_nsec: (wait_ns % 1_000_000_000) as i64,
        };
        let before = self.clock.now_ns();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(events),
            Some(&timeout),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let after = self.clock.now_ns();
        let slept = after - before > AWAKE_NS;
        self.waiting_since_ns = if slept { after } else { self.woke_ns };
        self.woke_ns = after;
        Ok(())
    }

    pub(super) fn on_event(&mut self, number: u32, flags: epoll::EventFlags, now_ns: u64) {
        if flags.contains(epoll::EventFlags::OUT) {
            self.flush(number);
        }
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR)
        {
            let lag = now_ns - self.waiting_since_ns.min(now_ns);
            self.tally.times.read_lag.saturating_record(lag);
            if let Err(why) = self.read(number, now_ns) {
                self.bury(number, &why);
            }
        }
    }

    #[inline]
    fn read(&mut self, number: u32, now_ns: u64) -> Result<(), String> {
        let place = number as usize / self.of;
        let Some(Some(connection)) = self.connections.get_mut(place) else {
            return Ok(());
        };
        let left = connection.rest.len();
        let end = (left + READ_BYTES).min(self.buffer.len());
        let filled = connection.fill(&mut self.buffer[..end]);
        let Some(filled) = filled.map_err(|error| error.to_string())? else {
            // TLS may have something to say to what was read.
            if connection.wants_flush() && !std::mem::replace(&mut connection.dirty, true) {
                self.dirty.push(number);
            }
            return Ok(());
        };
        self.tally.bytes += (filled - left) as u64;
        let mut hand = Hand {
            tally: &mut self.tally,
            seats: &mut connection.seats,
            out: &mut connection.out,
            ready: &mut connection.ready,
            connection: number,
            now_ns,
            started_ns: connection.started_ns,
        };
        let bytes = &self.buffer[..filled];
        let who = who(&self.plan, number);
        let used = self
            .dialect
            .read(&mut connection.link, &who, bytes, &mut hand)?;
        connection.rest.clear();
        connection.rest.extend_from_slice(&bytes[used..]);
        if connection.wants_flush() && !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(number);
        }
        if connection.slow
            && connection.ready
            && let Some(stream) = &connection.stream
        {
            // Errors: it is not watched already.
            let _ = epoll::delete(&self.epoll, stream);
        }
        Ok(())
    }

    /// Writes to every socket for which something was prepared.
    pub(super) fn flush_dirty(&mut self) {
        while let Some(number) = self.dirty.pop() {
            let place = number as usize / self.of;
            if let Some(Some(connection)) = self.connections.get_mut(place) {
                connection.dirty = false;
                // Before the handshake is out, epoll says when to write.
                if !connection.watches_write {
                    self.flush(number);
                }
            }
        }
    }

    fn flush(&mut self, number: u32) {
        let place = number as usize / self.of;
        let Some(Some(connection)) = self.connections.get_mut(place) else {
            return;
        };
        let all = match connection.flush() {
            Ok(all) => all,
            Err(error) => return self.bury(number, &error.to_string()),
        };
        if connection.watches_write == all
            && let Some(stream) = &connection.stream
        {
            connection.watches_write = !all;
            let data = epoll::EventData::new_u64(u64::from(number));
            let flags = if all {
                epoll::EventFlags::IN
            } else {
                READ_AND_WRITE
            };
            // A slow one is watched no more.
            let _ = epoll::modify(&self.epoll, stream, data, flags);
        }
    }

    /// The connection ended, or never came up.
    fn bury(&mut self, number: u32, why: &str) {
        let place = number as usize / self.of;
        let Some(Some(connection)) = self.connections.get_mut(place) else {
            return;
        };
        // Closing takes it out of epoll.
        if connection.stream.take().is_none() {
            return;
        }
        self.tally.dead += 1;
        let example = || format!("receiver {number}: {why}");
        if !std::mem::take(&mut connection.ready) {
            self.tally.unready.add(1, example);
            return;
        }
        self.tally.ready -= 1;
        if !connection.slow {
            self.tally.findings.add(Fault::Disconnected, 1, example);
        }
    }
}

const READ_AND_WRITE: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::OUT);

fn who(plan: &Plan, number: u32) -> Who<'_> {
    let member = plan.members.get(number as usize);
    Who {
        host: &plan.host,
        path: &plan.path,
        rooms: member.map_or(&[], |member| &member.rooms),
        token: member.map_or("", |member| &member.token),
    }
}
