//! TLS on a socket that shard and reader share, behind a lock that nobody
//! holds while waiting.
//!
//! rustls takes plaintext and keeps ciphertext until the kernel takes it.
//! **Invariant:** while ciphertext of a write waits, that write's last byte
//! counts as not taken. So whoever writes comes back with it once the socket
//! is writable, also with nothing new to say, and meanwhile counts as blocked.

use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use fanfare_protocol::limits::{CLOSE_MS_MAX, TLS_UNSENT_BYTES_MAX};
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConnection;

use super::{send, shut};

/// One TLS connection after its handshake.
#[derive(Debug)]
pub struct TlsStream {
    tcp: TcpStream,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    session: ServerConnection,
    /// The next byte to write is one that rustls has already.
    withheld: bool,
    /// Decrypted bytes may be left: the socket will not say so.
    unread: bool,
}

impl TlsStream {
    pub(super) fn new(tcp: TcpStream, mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(TLS_UNSENT_BYTES_MAX));
        let state = State {
            session,
            withheld: false,
            // What came with the request's last record.
            unread: true,
        };
        Self {
            tcp,
            state: Mutex::new(state),
        }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Waits until reading is worth a try; meanwhile sends what reading
    /// made rustls say, if the kernel did not take it at once.
    pub(super) async fn readable(&self) -> io::Result<()> {
        loop {
            let interest = {
                let mut state = self.state.lock();
                if state.unread {
                    return Ok(());
                }
                match state.flush(&self.tcp) {
                    Ok(()) => Interest::READABLE,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        Interest::READABLE | Interest::WRITABLE
                    }
                    Err(error) => return Err(error),
                }
            };
            let ready = self.tcp.ready(interest).await?;
            if ready.is_readable() {
                return Ok(());
            }
        }
    }

    /// Asks the kernel once at most: records without content must not hold
    /// the lock, for which the shard waits. `WouldBlock` may come too early;
    /// then [`Self::readable`] says so at once.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        if let Some(read) = state.take_read(buffer) {
            return read;
        }
        // 0 is an end without close_notify: then taking gives the error.
        state.session.read_tls(&mut Kernel(&self.tcp))?;
        let processed = state.session.process_new_packets();
        // Alerts; what the kernel does not take, `readable` sends later.
        let _ = state.flush(&self.tcp);
        processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let read = state.take_read(buffer);
        read.unwrap_or_else(|| Err(ErrorKind::WouldBlock.into()))
    }

    pub(super) fn try_write_vectored(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.flush(&self.tcp)?;
        if std::mem::take(&mut state.withheld) {
            return Ok(1);
        }
        let accepted = state.session.writer().write_vectored(frames)?;
        let taken = match state.flush(&self.tcp) {
            Ok(()) => accepted,
            Err(error) if error.kind() == ErrorKind::WouldBlock && accepted > 0 => {
                state.withheld = true;
                accepted - 1
            }
            Err(error) => return Err(error),
        };
        match taken {
            0 => Err(ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    /// close_notify, then the end of the writing side.
    pub(super) fn finish(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.session.send_close_notify();
        let flushed = state.flush(&self.tcp);
        drop(state);
        if flushed.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            // Rare: the kernel is full to the last byte of the close frame.
            let stream = Arc::clone(self);
            tokio::spawn(async move {
                let allowed = Duration::from_millis(CLOSE_MS_MAX);
                // Past it the connection is cut off in any case.
                let _ = tokio::time::timeout(allowed, stream.flushed()).await;
                shut(&stream.tcp, Shutdown::Write);
            });
        } else {
            shut(&self.tcp, Shutdown::Write);
        }
    }

    async fn flushed(&self) -> io::Result<()> {
        loop {
            self.tcp.writable().await?;
            match self.state.lock().flush(&self.tcp) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                flushed => return flushed,
            }
        }
    }
}

impl State {
    /// What is decrypted already, or the end; `None` when neither is there.
    fn take_read(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let read = self.session.reader().read(buffer);
        self.unread = matches!(read, Ok(length) if length == buffer.len());
        let is_empty = matches!(&read, Err(error) if error.kind() == ErrorKind::WouldBlock);
        (!is_empty).then_some(read)
    }

    /// Gives the kernel what waits; `WouldBlock` if it does not take all.
    fn flush(&mut self, tcp: &TcpStream) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(&mut Kernel(tcp))? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

/// The socket as rustls wants it.
struct Kernel<'a>(&'a TcpStream);

impl io::Read for Kernel<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for Kernel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        send(self.0, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
