//! The TLS handshake: a deadline, a turn for the costly step, a certificate
//! that can be read again.
//!
//! A connection counts against the limits of the accept loop from before its
//! handshake on.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fanfare_protocol::Limits;
use fanfare_protocol::limits::TLS_UNSENT_BYTES_MAX;
use parking_lot::RwLock;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::Acceptor;

use super::certificate::{CertificateError, CertificateFiles};
use super::stream::{HttpStream, PacedStream};

/// The first byte of a TLS connection: a handshake record (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// What a listener needs to speak TLS.
#[derive(Debug)]
pub struct Tls {
    files: CertificateFiles,
    config: RwLock<Arc<ServerConfig>>,
    /// Turns for the step that signs. It holds a runtime's worker, so a
    /// storm of clients must not line up in front of everybody else.
    turns: Semaphore,
    handshake_time_max: Duration,
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// See [`CertificateError`]; it names the file.
    pub fn load(files: CertificateFiles, limits: &Limits) -> Result<Self, CertificateError> {
        let turns = match limits.tls_handshakes_at_once {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
            turns => turns.min(Semaphore::MAX_PERMITS),
        };
        Ok(Self {
            config: RwLock::new(Arc::new(files.load()?)),
            files,
            turns: Semaphore::new(turns),
            handshake_time_max: Duration::from_millis(limits.tls_handshake_ms_max),
        })
    }

    /// Reads both files again, for the connections to come; tickets given
    /// out before are worth nothing then.
    ///
    /// # Errors
    /// See [`CertificateError`]; the old certificate stays in use.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let config = Arc::new(self.files.load()?);
        *self.config.write() = config;
        Ok(())
    }

    /// The handshake; `None` when there is nobody to speak with.
    pub(super) async fn accept(&self, stream: PacedStream, peer: SocketAddr) -> Option<HttpStream> {
        let (reason, error) = match timeout(self.handshake_time_max, self.shake(stream)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(NoTls::Plain)) => ("plain", "a client that speaks no TLS".to_owned()),
            Ok(Err(NoTls::Failed(error))) => ("failed", error.to_string()),
            Err(_) => ("deadline", "not done in time".to_owned()),
        };
        metrics::counter!("fanfare_tls_handshakes_failed_total", "reason" => reason).increment(1);
        tracing::debug!(%peer, error, "no TLS connection");
        None
    }

    async fn shake(&self, mut stream: PacedStream) -> Result<HttpStream, NoTls> {
        if first_byte(&stream).await? != HANDSHAKE {
            // Best effort: the connection ends anyway. Bytes left unread would
            // make a reset of it.
            let _ = stream.tcp().try_read(&mut [0; 4096]);
            let _ = stream.write_all(PLAIN_ANSWER).await;
            let _ = stream.shutdown().await;
            return Err(NoTls::Plain);
        }
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let signed = {
            // Closed by nobody.
            let _turn = self.turns.acquire().await.map_err(io::Error::other)?;
            let config = Arc::clone(&self.config.read());
            hello.into_stream_with(config, |session| {
                session.set_buffer_limit(Some(TLS_UNSENT_BYTES_MAX));
            })
        };
        Ok(HttpStream::Tls(Box::new(signed.await?)))
    }
}

const PLAIN_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
    content-type: text/plain\r\ncontent-length: 24\r\n\r\nThis port speaks HTTPS.\n";

enum NoTls {
    Plain,
    Failed(io::Error),
}

impl From<io::Error> for NoTls {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Waits for it and leaves it where it is.
async fn first_byte(stream: &PacedStream) -> io::Result<u8> {
    let mut first = [0];
    match stream.tcp().peek(&mut first).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0]),
    }
}
