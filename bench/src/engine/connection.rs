//! One socket of the generator.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use socket2::{Domain, Socket, Type};

use super::stream::Stream;
use crate::check::Seat;

/// One connection; its index says whose it is.
#[derive(Debug)]
pub(super) struct Connection<L> {
    /// Gone once dead.
    pub stream: Option<Stream>,
    pub link: L,
    /// The start of a frame that is not complete yet.
    pub rest: Vec<u8>,
    /// What the socket did not take yet.
    pub out: Vec<u8>,
    pub seats: Vec<Seat>,
    pub ready: bool,
    /// Never read once ready: a client that hangs.
    pub slow: bool,
    /// Whether epoll watches for room to write.
    pub watches_write: bool,
    /// Whether it stands in the list of those to be written.
    pub dirty: bool,
    pub started_ns: u64,
}

/// What the kernel holds for a socket that is never read; it doubles it.
const SLOW_RECEIVE_BYTES: usize = 4096;
/// Connections per source address: below the 28 000 ports Linux gives out.
const PER_SOURCE: u32 = 20_000;

impl<L: Default> Connection<L> {
    /// Begins to connect; does not wait.
    pub fn start(
        (server, tls): (SocketAddr, Option<&Arc<ClientConfig>>),
        number: u32,
        seats: Vec<Seat>,
        slow: bool,
        now_ns: u64,
    ) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if slow {
            // Else the kernel takes minutes of a steady load for it, and the
            // server never learns that nobody reads.
            socket.set_recv_buffer_size(SLOW_RECEIVE_BYTES)?;
        }
        if server.ip().is_loopback() && server.is_ipv4() {
            let host = u8::try_from(number / PER_SOURCE + 1).unwrap_or(u8::MAX);
            let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
            if host > 1 {
                socket.bind(&source.into())?;
            }
        }
        match socket.connect(&server.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            stream: Some(Stream::new(socket.into(), server.ip(), tls)?),
            link: L::default(),
            rest: Vec::new(),
            out: Vec::new(),
            seats,
            ready: false,
            slow,
            watches_write: false,
            dirty: false,
            started_ns: now_ns,
        })
    }
}

/// `EINPROGRESS` on Linux.
const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

impl<L> Connection<L> {
    /// Writes what waits; says whether all of it went.
    pub fn flush(&mut self) -> std::io::Result<bool> {
        let Some(stream) = &mut self.stream else {
            self.out.clear();
            return Ok(true);
        };
        let mut from = 0;
        let mut outcome = Ok(true);
        while from < self.out.len() {
            match stream.write(&self.out[from..]) {
                Ok(0) => {
                    outcome = Err(ErrorKind::WriteZero.into());
                    break;
                }
                Ok(written) => from += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    outcome = Ok(false);
                    break;
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if outcome.is_ok() {
            outcome = stream
                .flush()
                .map(|flushed| flushed && from == self.out.len());
        }
        if from == self.out.len() {
            self.out.clear();
        } else {
            self.out.drain(..from);
        }
        outcome
    }

    /// Whether there is something to write.
    pub fn wants_flush(&self) -> bool {
        !self.out.is_empty() || self.stream.as_ref().is_some_and(Stream::wants_flush)
    }

    /// One read into `buffer` behind what was left over; how many bytes of
    /// `buffer` count. `None`: nothing there.
    pub fn fill(&mut self, buffer: &mut [u8]) -> std::io::Result<Option<usize>> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        let left = self.rest.len();
        let Some((head, tail)) = buffer.split_at_mut_checked(left) else {
            return Err(std::io::Error::other("a frame above the read buffer"));
        };
        match stream.read(tail) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                head.copy_from_slice(&self.rest);
                Ok(Some(left + read))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }
}
