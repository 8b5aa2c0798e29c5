//! What a connection reads and writes, plain or by TLS; nothing here waits.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// One socket.
#[derive(Debug)]
pub(super) enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP, its handshake included.
    Tls(Box<TlsStream>),
}

/// A socket with its session.
#[derive(Debug)]
pub(super) struct TlsStream {
    tcp: TcpStream,
    session: ClientConnection,
}

impl Stream {
    /// Speaks TLS if there is a `tls`; the certificate must be for the
    /// address.
    pub fn new(
        tcp: TcpStream,
        server: IpAddr,
        tls: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        let Some(config) = tls else {
            return Ok(Self::Plain(tcp));
        };
        let name = ServerName::from(server);
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(TlsStream { tcp, session })))
    }

    /// One read. `WouldBlock` may also mean that a record is not complete or
    /// said nothing.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    /// Takes what it can.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(stream) => {
                if !stream.flush()? {
                    return Err(ErrorKind::WouldBlock.into());
                }
                match stream.session.writer().write(bytes)? {
                    // Full until the handshake is done.
                    0 => Err(ErrorKind::WouldBlock.into()),
                    written => Ok(written),
                }
            }
        }
    }

    /// Gives the kernel what TLS still holds; says whether all of it went.
    pub fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(stream) => stream.flush(),
        }
    }

    /// Whether TLS has something that the kernel did not get yet.
    pub fn wants_flush(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.session.wants_write(),
        }
    }
}

impl TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.session.read_tls(&mut self.tcp)? == 0 {
            return Ok(0);
        }
        self.session
            .process_new_packets()
            .map_err(io::Error::other)?;
        // All of it: a record is smaller than the buffer.
        self.session.reader().read(buffer)
    }

    fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(tcp) => tcp.as_fd(),
            Self::Tls(stream) => stream.tcp.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::{Duration, Instant};

    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ServerConfig, ServerConnection};

    use super::*;
    use crate::trust;

    const BYTES: usize = 300_000;

    /// Sends back `BYTES`, then ends.
    fn echo(listener: &TcpListener, config: ServerConfig) {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut session = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut tcp);
        let mut bytes = vec![0; BYTES];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    }

    #[test]
    fn what_is_written_before_the_handshake_and_after_it_comes_back() {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root.pem");
        std::fs::write(&root, made.cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::from(key))
        .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || echo(&listener, config));

        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let client = trust::client(&root).unwrap();
        let mut stream = Stream::new(tcp, address.ip(), Some(&client)).unwrap();
        let sent: Vec<u8> = (0..BYTES).map(|at| (at / 256 + at) as u8).collect();
        let (mut at, mut got, mut buffer) = (0, Vec::new(), vec![0; 1 << 16]);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < deadline, "{at} sent, {} came", got.len());
            match sent[at..] {
                [] => {}
                ref rest => match stream.write(rest) {
                    Ok(written) => at += written,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                },
            }
            stream.flush().unwrap();
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => got.extend_from_slice(&buffer[..read]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            std::thread::yield_now();
        }
        assert!(got == sent, "other bytes");
        server.join().unwrap();
    }
}
