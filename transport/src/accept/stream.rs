//! A connection while it speaks HTTP, plain or by TLS: a response that a
//! client stops reading ends it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use fanfare_actors::fanout::Wire;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

/// Takes the wire out of an upgraded connection, with the bytes that were
/// read beyond the request: feed them to the decoder first.
///
/// # Errors
/// Gives the connection back if it did not come through our accept loop.
pub fn into_wire(upgraded: Upgraded) -> Result<(Wire, Bytes), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<HttpStream>>()?;
    let wire = match parts.io.into_inner() {
        HttpStream::Plain(stream) => Wire::plain(stream.tcp),
        HttpStream::Tls(stream) => {
            let (stream, session) = stream.into_inner();
            Wire::tls(stream.tcp, session)
        }
    };
    Ok((wire, parts.read_buf))
}

/// What hyper reads and writes.
#[derive(Debug)]
pub(crate) enum HttpStream {
    Plain(PacedStream),
    Tls(Box<TlsStream<PacedStream>>),
}

/// A TCP stream whose writes must make progress, beneath TLS too. The timer
/// exists only while a write waits.
#[derive(Debug)]
pub(crate) struct PacedStream {
    tcp: TcpStream,
    stalled_max: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl PacedStream {
    pub(crate) fn new(tcp: TcpStream, stalled_max: Duration) -> Self {
        Self {
            tcp,
            stalled_max,
            stalled: None,
        }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    fn progress<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled_max = self.stalled_max;
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stalled_max)));
        timer.as_mut().poll(context).map(|()| {
            metrics::counter!("fanfare_http_stalled_total").increment(1);
            Err(io::Error::new(io::ErrorKind::TimedOut, "response stalled"))
        })
    }
}

impl AsyncRead for PacedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for PacedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.progress(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(context, slices);
        self.progress(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.tcp).poll_flush(context);
        self.progress(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.tcp).poll_shutdown(context);
        self.progress(context, shut)
    }
}

/// The same call on whichever it is.
macro_rules! on_either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            HttpStream::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            HttpStream::Tls($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

impl AsyncRead for HttpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_either!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => stream.poll_shutdown(context))
    }
}
