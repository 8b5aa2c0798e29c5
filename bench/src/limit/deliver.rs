//! How frames reach receivers: at once, gathered, or broken on purpose.

use std::io::IoSlice;

use rustix::event::epoll;

use super::fault::{Kind, LATE_MS};
use super::server::Server;
use super::socket::Socket;

/// Pieces of one vectored write.
const PIECES_MAX: usize = 64;

impl Server {
    /// Does something that may leave bytes waiting, and has epoll say when
    /// the socket takes more.
    #[inline]
    pub(super) fn write(
        &mut self,
        number: u32,
        write: impl FnOnce(&mut Socket) -> std::io::Result<usize>,
    ) {
        let Some(Some(socket)) = self.sockets.get_mut(number as usize) else {
            return;
        };
        let before = socket.out.len();
        let waiting = match write(socket) {
            Ok(waiting) => waiting,
            Err(_) => return self.close(number),
        };
        self.waiting_bytes = self.waiting_bytes + waiting - before;
        if (waiting > 0) != socket.watches_write {
            socket.watches_write = waiting > 0;
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, waiting > 0);
            let data = epoll::EventData::new_u64(u64::from(number));
            // Fails only for a socket that is about to be closed.
            let _ = epoll::modify(&self.epoll, &socket.stream, data, flags);
        }
    }

    /// One vectored write for each receiver of what was gathered.
    pub(super) fn flush_batches(&mut self) {
        let dirty_rooms = std::mem::take(&mut self.dirty_rooms);
        let mut dirty_sockets = std::mem::take(&mut self.dirty_sockets);
        for room in &dirty_rooms {
            for member in self.rooms.get(*room as usize).into_iter().flatten() {
                if let Some(Some(socket)) = self.sockets.get_mut(*member as usize) {
                    if socket.gathered.is_empty() {
                        dirty_sockets.push(*member);
                    }
                    socket.gathered.push(*room);
                }
            }
        }
        let batches = std::mem::take(&mut self.batches);
        for number in dirty_sockets.drain(..) {
            let Some(Some(socket)) = self.sockets.get_mut(number as usize) else {
                continue;
            };
            let gathered = std::mem::take(&mut socket.gathered);
            for rooms in gathered.chunks(PIECES_MAX) {
                let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
                for (piece, room) in pieces.iter_mut().zip(rooms) {
                    *piece = IoSlice::new(&batches[*room as usize]);
                }
                let pieces = &pieces[..rooms.len()];
                self.write(number, |socket| socket.write_all_of(pieces));
            }
            if let Some(Some(socket)) = self.sockets.get_mut(number as usize) {
                socket.gathered = gathered;
                socket.gathered.clear();
            }
        }
        self.batches = batches;
        for room in &dirty_rooms {
            self.batches[*room as usize].clear();
        }
        self.dirty_sockets = dirty_sockets;
        self.dirty_rooms = dirty_rooms;
        self.dirty_rooms.clear();
    }

    /// One delivery, perhaps with the planted fault.
    pub(super) fn deliver_badly(&mut self, member: u32, room: u32, frame: &[u8]) {
        let fault = self.faults.next();
        let now = self.started.elapsed().as_nanos() as u64;
        let Some(Some(socket)) = self.sockets.get_mut(member as usize) else {
            return;
        };
        let mut bytes = frame.to_vec();
        match fault {
            Some(Kind::Lose) => return,
            Some(Kind::Double) => bytes.extend_from_slice(frame),
            Some(Kind::Swap) => {
                socket.swapped = Some(bytes);
                return;
            }
            Some(Kind::Late) => {
                socket.frozen_until_ns = now + LATE_MS * 1_000_000;
                self.frozen.push(member);
            }
            Some(Kind::Misroute) => {
                let stranger = (0..).zip(&self.sockets).find_map(|(number, socket)| {
                    let socket = socket.as_ref()?;
                    (!socket.rooms.is_empty() && !socket.rooms.contains(&room)).then_some(number)
                });
                if let Some(stranger) = stranger {
                    self.write(stranger, |socket| socket.write(frame));
                }
            }
            None => {}
        }
        self.write(member, |socket| {
            bytes.extend(socket.swapped.take().unwrap_or_default());
            if now < socket.frozen_until_ns || !socket.held.is_empty() {
                socket.held.extend_from_slice(&bytes);
                return Ok(socket.out.len());
            }
            socket.write(&bytes)
        });
    }

    /// Lets go what waited long enough.
    pub(super) fn thaw(&mut self) {
        let now = self.started.elapsed().as_nanos() as u64;
        for number in std::mem::take(&mut self.frozen) {
            let Some(Some(socket)) = self.sockets.get_mut(number as usize) else {
                continue;
            };
            if now < socket.frozen_until_ns {
                self.frozen.push(number);
            } else {
                let held = std::mem::take(&mut socket.held);
                self.write(number, |socket| socket.write(&held));
            }
        }
    }

    /// Forgets a connection.
    pub(super) fn close(&mut self, number: u32) {
        let Some(socket) = (self.sockets.get_mut(number as usize)).and_then(Option::take) else {
            return;
        };
        self.waiting_bytes -= socket.out.len();
        for room in socket.rooms {
            if let Some(members) = self.rooms.get_mut(room as usize) {
                members.retain(|member| *member != number);
            }
        }
    }
}
