//! The loop of the limit server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::Context as _;
use rustix::event::{Timespec, epoll};

use super::fault::Faults;
use super::socket::Socket;
use super::wire::{framed, unmasked, upgrade};
use crate::args;
use crate::dialect::plain;

/// Read at once.
const READ_BYTES: usize = 256 << 10;
/// With more than this waiting for receivers, publishers are not read.
const WAITING_BYTES_MAX: usize = 256 << 20;

/// Listens until killed; prints where.
///
/// # Errors
/// It cannot listen, or epoll fails.
pub fn serve(wish: &args::Limit) -> anyhow::Result<()> {
    let address: SocketAddr = wish.listen.parse().context("--listen wants ADDR:PORT")?;
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        None,
    )?;
    socket.set_reuse_address(true)?;
    socket
        .bind(&address.into())
        .with_context(|| format!("cannot listen on {address}"))?;
    socket.listen(4096)?;
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    let mut out = std::io::stdout();
    writeln!(out, "limit listens on http://{}", listener.local_addr()?)?;
    out.flush()?;
    Server::new(listener, wish)?.run()
}

pub(super) struct Server {
    listener: TcpListener,
    pub(super) epoll: OwnedFd,
    pub(super) started: Instant,
    pub(super) sockets: Vec<Option<Socket>>,
    /// Members of each room, by index of their socket.
    pub(super) rooms: Vec<Vec<u32>>,
    /// Frames of each room since the last flush, only when coalescing.
    pub(super) batches: Vec<Vec<u8>>,
    pub(super) dirty_rooms: Vec<u32>,
    pub(super) dirty_sockets: Vec<u32>,
    pub(super) frozen: Vec<u32>,
    frame: Vec<u8>,
    pub(super) waiting_bytes: usize,
    coalesce: bool,
    frame_bytes: usize,
    pub(super) faults: Faults,
}

const LISTENER: u64 = u64::MAX;

impl Server {
    fn new(listener: TcpListener, wish: &args::Limit) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, data, epoll::EventFlags::IN)?;
        Ok(Self {
            listener,
            epoll,
            started: Instant::now(),
            sockets: Vec::new(),
            rooms: Vec::new(),
            batches: Vec::new(),
            dirty_rooms: Vec::new(),
            dirty_sockets: Vec::new(),
            frozen: Vec::new(),
            frame: Vec::new(),
            waiting_bytes: 0,
            coalesce: wish.coalesce,
            frame_bytes: wish.frame_bytes,
            faults: Faults::new(wish.fault, wish.every),
        })
    }

    fn run(mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(1024);
        let mut buffer = vec![0; READ_BYTES + (1 << 20)];
        loop {
            let thaw = Timespec {
                tv_sec: 0,
                tv_nsec: 10_000_000,
            };
            let timeout = (!self.frozen.is_empty()).then_some(&thaw);
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout,
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                let which = event.data.u64();
                if which == LISTENER {
                    self.accept()?;
                    continue;
                }
                let flags = event.flags;
                let number = which as u32;
                if flags.contains(epoll::EventFlags::OUT) {
                    self.write(number, Socket::flush);
                }
                let closing = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                let readable =
                    flags.contains(epoll::EventFlags::IN) && self.waiting_bytes < WAITING_BYTES_MAX;
                if (readable || flags.intersects(closing)) && !self.read(number, &mut buffer) {
                    self.close(number);
                }
            }
            self.flush_batches();
            self.thaw();
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        for _ in 0..64 {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("cannot accept"),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let number = self.sockets.len();
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
            self.sockets.push(Some(Socket::new(stream)));
        }
        Ok(())
    }

    /// Reads once and does what the frames say; `false` ends the connection.
    fn read(&mut self, number: u32, buffer: &mut [u8]) -> bool {
        let Some(Some(socket)) = self.sockets.get_mut(number as usize) else {
            return true;
        };
        let left = socket.rest.len();
        let Some((head, tail)) = buffer.split_at_mut_checked(left) else {
            return false;
        };
        let read = match socket.stream.read(tail) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        };
        head.copy_from_slice(&socket.rest);
        let bytes = &mut buffer[..left + read];
        let mut used = 0;
        if !socket.upgraded {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                socket.rest.clear();
                socket.rest.extend_from_slice(bytes);
                return true;
            };
            let Some(answer) = upgrade(&bytes[..end]) else {
                return false;
            };
            socket.upgraded = true;
            used = end + 4;
            self.write(number, |socket| socket.write(answer.as_bytes()));
        }
        loop {
            let Ok(frame) = unmasked(&mut bytes[used..]) else {
                return false;
            };
            let Some((payload, length)) = frame else {
                break;
            };
            used += length;
            self.on_frame(number, payload);
        }
        if let Some(Some(socket)) = self.sockets.get_mut(number as usize) {
            socket.rest.clear();
            socket.rest.extend_from_slice(&bytes[used..]);
        }
        true
    }

    fn on_frame(&mut self, number: u32, payload: &[u8]) {
        if let Some(delivery) = plain::delivery(payload) {
            self.publish(delivery.room, payload);
        } else if let Some(list) = payload.strip_prefix(br#"{"join":["#) {
            let text = String::from_utf8_lossy(list);
            let rooms: Vec<u32> = (text.trim_end_matches("]}").split(','))
                .filter_map(|room| room.parse().ok())
                .collect();
            for room in &rooms {
                let at = *room as usize;
                if self.rooms.len() <= at {
                    self.rooms.resize_with(at + 1, Vec::new);
                    self.batches.resize_with(at + 1, Vec::new);
                }
                self.rooms[at].push(number);
            }
            let mut reply = Vec::new();
            framed(
                format!(r#"{{"joined":{}}}"#, rooms.len()).as_bytes(),
                0,
                &mut reply,
            );
            if let Some(Some(socket)) = self.sockets.get_mut(number as usize) {
                socket.rooms = rooms;
            }
            self.write(number, |socket| socket.write(&reply));
        }
    }

    fn publish(&mut self, room: u32, payload: &[u8]) {
        let at = room as usize;
        let (Some(members), Some(batch)) = (self.rooms.get_mut(at), self.batches.get_mut(at))
        else {
            return;
        };
        if self.coalesce && !self.faults.planted() {
            if batch.is_empty() {
                self.dirty_rooms.push(room);
            }
            return framed(payload, self.frame_bytes, batch);
        }
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        framed(payload, self.frame_bytes, &mut frame);
        let members = std::mem::take(members);
        for member in &members {
            if self.faults.planted() {
                self.deliver_badly(*member, room, &frame);
            } else {
                self.write(*member, |socket| socket.write(&frame));
            }
        }
        self.frame = frame;
        if let Some(place) = self.rooms.get_mut(at) {
            *place = members;
        }
    }
}
