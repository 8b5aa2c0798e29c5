//! Where a shard writes.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::body::BodyWriter;

/// A connection's writing side. The reader shares the same stream.
#[derive(Debug, Clone)]
pub enum Wire {
    /// Plain TCP.
    Plain(Arc<TcpStream>),
    /// A response body, taken by its HTTP connection.
    Body(BodyWriter),
}

impl Wire {
    /// Writes what the kernel takes now.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; others end the connection.
    pub(super) fn try_write_vectored(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            // One slice by `send`: several per cent less than `writev`.
            Self::Plain(stream) => match frames {
                [frame] => stream.try_write(frame),
                frames => stream.try_write_vectored(frames),
            },
            Self::Body(body) => body.try_write_vectored(frames),
        }
    }

    /// Whether writing is worth a try; else the waker is woken.
    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_write_ready(context),
            Self::Body(body) => body.poll_writable(context),
        }
    }

    /// Ends the writing side: the peer reads to the end, then sees it.
    pub(super) fn finish(&self) {
        match self {
            Self::Plain(stream) => shut(stream, std::net::Shutdown::Write),
            Self::Body(body) => body.finish(),
        }
    }

    /// Ends both sides: the reader wakes with end of file.
    pub(super) fn abort(&self) {
        match self {
            Self::Plain(stream) => shut(stream, std::net::Shutdown::Both),
            Self::Body(body) => body.abort(),
        }
    }
}

fn shut(stream: &TcpStream, how: std::net::Shutdown) {
    // Fails only when the peer was faster.
    let _ = socket2::SockRef::from(stream).shutdown(how);
}
