//! Where a shard writes.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

/// A connection's writing side. The reader shares the same stream.
#[derive(Debug, Clone)]
pub enum Wire {
    /// Plain TCP.
    Plain(Arc<TcpStream>),
}

impl Wire {
    /// Writes what the kernel takes now.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; others end the connection.
    pub(super) fn try_write_vectored(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write_vectored(frames),
        }
    }

    /// Whether writing is worth a try; else the waker is woken.
    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_write_ready(context),
        }
    }

    /// Ends the writing side: the peer reads to the end, then sees it.
    pub(super) fn finish(&self) {
        self.shut(std::net::Shutdown::Write);
    }

    /// Ends both sides: the reader wakes with end of file.
    pub(super) fn abort(&self) {
        self.shut(std::net::Shutdown::Both);
    }

    fn shut(&self, how: std::net::Shutdown) {
        let Self::Plain(stream) = self;
        // Fails only when the peer was faster.
        let _ = socket2::SockRef::from(&**stream).shutdown(how);
    }
}
