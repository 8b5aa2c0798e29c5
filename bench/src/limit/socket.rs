//! One receiver of the limit server.

use std::io::{ErrorKind, IoSlice, Write as _};
use std::net::TcpStream;

/// One connection.
#[derive(Debug)]
pub(super) struct Socket {
    pub stream: TcpStream,
    pub upgraded: bool,
    /// Rooms it has joined.
    pub rooms: Vec<u32>,
    /// The start of a frame that is not complete yet.
    pub rest: Vec<u8>,
    /// What the kernel did not take yet.
    pub out: Vec<u8>,
    /// Rooms with something gathered for it, in the order of publishing.
    pub gathered: Vec<u32>,
    /// Whether epoll watches for room to write.
    pub watches_write: bool,
    /// A frame that waits for the next one, planted.
    pub swapped: Option<Vec<u8>>,
    /// Until when deliveries are held back, planted.
    pub frozen_until_ns: u64,
    /// Those held back.
    pub held: Vec<u8>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            upgraded: false,
            rooms: Vec::new(),
            rest: Vec::new(),
            out: Vec::new(),
            gathered: Vec::new(),
            watches_write: false,
            swapped: None,
            frozen_until_ns: 0,
            held: Vec::new(),
        }
    }

    /// One write of what is still waiting and `frame`; what the kernel does
    /// not take is kept. Says how many bytes wait now.
    #[inline]
    pub(super) fn write(&mut self, frame: &[u8]) -> std::io::Result<usize> {
        if !self.out.is_empty() {
            self.out.extend_from_slice(frame);
            return Ok(self.out.len());
        }
        let taken = taken(self.stream.write(frame))?;
        self.out.extend_from_slice(&frame[taken..]);
        Ok(self.out.len())
    }

    /// One vectored write of several pieces.
    pub(super) fn write_all_of(&mut self, pieces: &[IoSlice<'_>]) -> std::io::Result<usize> {
        let mut taken = match self.out.is_empty() {
            true => taken(self.stream.write_vectored(pieces))?,
            false => 0,
        };
        for piece in pieces {
            let skip = taken.min(piece.len());
            taken -= skip;
            self.out.extend_from_slice(&piece[skip..]);
        }
        Ok(self.out.len())
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> std::io::Result<usize> {
        let taken = taken(self.stream.write(&self.out))?;
        self.out.drain(..taken);
        Ok(self.out.len())
    }
}

fn taken(outcome: std::io::Result<usize>) -> std::io::Result<usize> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
        other => other,
    }
}
