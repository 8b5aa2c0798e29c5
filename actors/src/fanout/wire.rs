//! Both sides of a connection: a shard writes, a reader reads. A response body
//! has only the first.

mod tls;

use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio_rustls::rustls::ServerConnection;

use super::body::BodyWriter;
use tls::TlsStream;

/// A connection. Its shard and its reader share one stream.
#[derive(Debug, Clone)]
pub enum Wire {
    /// Plain TCP.
    Plain(Arc<TcpStream>),
    /// TLS over TCP.
    Tls(Arc<TlsStream>),
    /// A response body, taken by its HTTP connection.
    Body(BodyWriter),
}

impl Wire {
    /// Plain TCP.
    #[must_use]
    pub fn plain(tcp: TcpStream) -> Self {
        Self::Plain(Arc::new(tcp))
    }

    /// TLS whose handshake is done.
    #[must_use]
    pub fn tls(tcp: TcpStream, session: ServerConnection) -> Self {
        Self::Tls(Arc::new(TlsStream::new(tcp, session)))
    }

    /// Waits until reading is worth a try.
    ///
    /// # Errors
    /// Those of the connection, which end it.
    pub async fn readable(&self) -> io::Result<()> {
        // A peer that never pauses must not keep the worker to itself.
        consume_budget().await;
        match self {
            Self::Plain(stream) => stream.ready(Interest::READABLE).await.map(|_| ()),
            Self::Tls(stream) => stream.readable().await,
            Self::Body(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// Reads what is there; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; others end the connection.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_read(buffer),
            Self::Tls(stream) => stream.try_read(buffer),
            Self::Body(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// Writes the only frame of a connection that no shard takes, and ends
    /// it. What does not fit into the empty buffers is lost.
    pub fn refuse(&self, frame: &[u8]) {
        // Whoever left already needs no reason.
        let _ = self.try_write_vectored(&[IoSlice::new(frame)]);
        self.finish();
    }

    /// Writes what is taken now. After a short write the next one must begin
    /// with the first byte that was not taken.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is taken; others end the connection.
    pub(super) fn try_write_vectored(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => send(stream, frames),
            Self::Tls(stream) => stream.try_write_vectored(frames),
            Self::Body(body) => body.try_write_vectored(frames),
        }
    }

    /// The same for one piece.
    ///
    /// # Errors
    /// As there.
    pub(super) fn try_write(&self, frames: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(frames)])
    }

    /// Whether writing is worth a try; else the waker is woken.
    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_write_ready(context),
            Self::Tls(stream) => stream.tcp().poll_write_ready(context),
            Self::Body(body) => body.poll_writable(context),
        }
    }

    /// Ends the writing side: the peer reads to the end, then sees it.
    pub(super) fn finish(&self) {
        match self {
            Self::Plain(stream) => shut(stream, Shutdown::Write),
            Self::Tls(stream) => stream.finish(),
            Self::Body(body) => body.finish(),
        }
    }

    /// Ends both sides: the reader wakes with end of file.
    pub(super) fn abort(&self) {
        match self {
            Self::Plain(stream) => shut(stream, Shutdown::Both),
            Self::Tls(stream) => shut(stream.tcp(), Shutdown::Both),
            Self::Body(body) => body.abort(),
        }
    }
}

/// One slice by `send`: several per cent less than `writev`. The runtime's
/// note of what is ready is asked only once the kernel takes nothing: it costs
/// as much as the rest of our part of a delivery.
fn send(tcp: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
    let written = match slices {
        [slice] => rustix::net::send(tcp, slice, FLAGS),
        slices => rustix::net::sendmsg(tcp, slices, &mut SendAncillaryBuffer::default(), FLAGS),
    };
    match written {
        // Once more, so that the note says what the kernel said last: room
        // made meanwhile must not be noted as none.
        Err(Errno::WOULDBLOCK) => tcp.try_write_vectored(slices),
        written => written.map_err(io::Error::from),
    }
}

fn shut(tcp: &TcpStream, how: Shutdown) {
    // Fails only when the peer was faster.
    let _ = socket2::SockRef::from(tcp).shutdown(how);
}
