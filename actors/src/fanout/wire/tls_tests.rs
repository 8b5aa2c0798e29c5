//! TLS over loopback, written as a shard writes: what was not taken comes
//! again, and nothing else before it.

use std::future::{Future, poll_fn};
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::client::TlsStream as ClientStream;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::super::Wire;
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
/// Beyond what the kernel buffers of one loopback connection hold here.
const LARGE: usize = 512 * 1024;

type Client = ClientStream<TcpStream>;

/// Both ends of a connection with small buffers.
async fn pair(version: &'static SupportedProtocolVersion) -> (Wire, Client) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate.clone()).unwrap();
    let provider = Arc::new(default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let (client, server) = tokio::join!(
        async {
            let tcp = TcpStream::connect(address).await.unwrap();
            let socket = socket2::SockRef::from(&tcp);
            socket.set_recv_buffer_size(32 * 1024).unwrap();
            let connector = TlsConnector::from(Arc::new(client));
            connector.connect(name, tcp).await.unwrap()
        },
        async {
            let (tcp, _) = listener.accept().await.unwrap();
            let socket = socket2::SockRef::from(&tcp);
            socket.set_send_buffer_size(16 * 1024).unwrap();
            TlsAcceptor::from(Arc::new(server)).accept(tcp).await
        },
    );
    let (tcp, session) = server.unwrap().into_inner();
    (Wire::tls(tcp, session), client)
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("took too long")
}

async fn writable(wire: &Wire) {
    poll_fn(|context| wire.poll_writable(context))
        .await
        .unwrap();
}

/// Writes as a shard does: small frames, many at once, the rest again.
async fn write_all(wire: &Wire, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let frames: Vec<IoSlice<'_>> = bytes.chunks(700).take(64).map(IoSlice::new).collect();
        match wire.try_write_vectored(&frames) {
            Ok(taken) => bytes = &bytes[taken..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => writable(wire).await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn numbers(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 4 * 7 + at) as u8).collect()
}

/// Reads `length` bytes, a little at a time, slower than they are written.
async fn read_slowly(client: &mut Client, length: usize) -> Vec<u8> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    while read.len() < length {
        tokio::time::sleep(Duration::from_micros(200)).await;
        match client.read(&mut buffer).await.unwrap() {
            0 => panic!("ended after {}", read.len()),
            count => read.extend_from_slice(&buffer[..count]),
        }
    }
    read
}

#[tokio::test]
async fn a_slow_reader_gets_every_byte_once_it_was_taken() {
    for version in [&version::TLS12, &version::TLS13] {
        let (wire, mut client) = pair(version).await;
        let bytes = numbers(LARGE);
        let writing = async {
            write_all(&wire, &bytes).await;
            // Nobody calls the wire again: what was taken is on its way.
        };
        let (read, ()) =
            within(async { tokio::join!(read_slowly(&mut client, LARGE), writing) }).await;
        assert!(read == bytes, "other bytes");
    }
}

#[tokio::test]
async fn a_reader_that_stops_costs_one_record_and_counts_as_blocked() {
    let (wire, mut client) = pair(&version::TLS13).await;
    let bytes = numbers(LARGE);
    let mut taken = 0;
    let is_pending = |wire: &Wire| {
        wire.poll_writable(&mut std::task::Context::from_waker(std::task::Waker::noop()))
            .is_pending()
    };
    let mut refused = 0;
    while refused < 100 {
        match wire.try_write_vectored(&[IoSlice::new(&bytes[taken..])]) {
            Ok(count) => {
                assert_eq!(refused, 0, "it took {count} more with nobody reading");
                assert!(count <= TLS_UNSENT_BYTES_MAX);
                taken += count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && is_pending(&wire) => {
                refused += 1;
            }
            // The kernel was not full yet.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
    let rest = async { write_all(&wire, &bytes[taken..]).await };
    let (read, ()) = within(async { tokio::join!(read_slowly(&mut client, LARGE), rest) }).await;
    assert!(read == bytes, "other bytes");
}

#[tokio::test]
async fn the_end_is_said_behind_everything_else_even_when_the_kernel_is_full() {
    for version in [&version::TLS12, &version::TLS13] {
        let (wire, mut client) = pair(version).await;
        let bytes = numbers(LARGE);
        let mut taken = 0;
        loop {
            match wire.try_write_vectored(&[IoSlice::new(&bytes[taken..])]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        wire.finish();
        let mut read = Vec::new();
        // An end without close_notify would be an error.
        within(client.read_to_end(&mut read)).await.unwrap();
        let sent = read.len();
        assert!(read == bytes[..sent], "other bytes");
        assert!(
            (taken..=taken + 1).contains(&sent),
            "{taken} taken, {sent} read"
        );
    }
}

/// Reads up to `length` bytes as a reader does.
async fn read_all(wire: &Wire, buffer_bytes: usize, length: usize) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    let mut buffer = vec![0; buffer_bytes];
    while read.len() < length {
        wire.readable().await?;
        match wire.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[tokio::test]
async fn decrypted_bytes_are_read_without_another_word_of_the_socket() {
    let (wire, mut client) = pair(&version::TLS13).await;
    let bytes = numbers(40_000);
    let writing = async {
        client.write_all(&bytes).await.unwrap();
        client.flush().await.unwrap();
    };
    let (read, ()) = within(async { tokio::join!(read_all(&wire, 100, 40_000), writing) }).await;
    assert!(read.unwrap() == bytes, "other bytes");
}

#[tokio::test]
async fn one_turn_at_reading_asks_the_kernel_once() {
    let (wire, mut client) = pair(&version::TLS13).await;
    let bytes = numbers(16_000);
    client.write_all(&bytes).await.unwrap();
    client.flush().await.unwrap();
    let Wire::Tls(stream) = &wire else {
        panic!("not by TLS");
    };
    let mut waiting = vec![0; 32 * 1024];
    within(async { while stream.tcp().peek(&mut waiting).await.unwrap() < 16_000 {} }).await;
    // All of the record is there, in more bytes than one turn takes.
    let mut read = vec![0; 16_000];
    let early = wire.try_read(&mut read).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::WouldBlock);
    let read = within(read_all(&wire, 16_000, 16_000)).await.unwrap();
    assert!(read == bytes, "other bytes");
}

#[tokio::test]
async fn new_keys_in_the_middle_of_both_directions() {
    let (wire, mut client) = pair(&version::TLS13).await;
    for round in 0..3 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        client.write_all(b"to the server").await.unwrap();
        client.flush().await.unwrap();
        let read = within(read_all(&wire, 4096, 13)).await.unwrap();
        assert_eq!(read, b"to the server", "round {round}");
        let bytes = numbers(50_000);
        let writing = write_all(&wire, &bytes);
        let (read, ()) =
            within(async { tokio::join!(read_slowly(&mut client, 50_000), writing) }).await;
        assert!(read == bytes, "round {round}");
    }
}

#[tokio::test]
async fn a_half_that_ends_leaves_the_other_and_a_cut_is_told_from_an_end() {
    let (wire, mut client) = pair(&version::TLS13).await;
    client.write_all(b"last words").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(
        within(read_all(&wire, 4096, 99)).await.unwrap(),
        b"last words"
    );
    within(write_all(&wire, b"heard")).await;
    wire.finish();
    let mut read = Vec::new();
    within(client.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read, b"heard");

    let (wire, client) = pair(&version::TLS13).await;
    // Only TCP ends.
    let (mut tcp, _session) = client.into_inner();
    tcp.shutdown().await.unwrap();
    let cut = within(read_all(&wire, 4096, 99)).await.unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn bytes_that_are_no_record_end_the_reading_and_abort_wakes_the_reader() {
    let (wire, client) = pair(&version::TLS13).await;
    let (mut tcp, _session) = client.into_inner();
    tcp.write_all(&[23, 3, 3, 0, 32]).await.unwrap();
    tcp.write_all(&[7; 32]).await.unwrap();
    let refused = within(read_all(&wire, 4096, 99)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidData, "{refused}");

    let (wire, _client) = pair(&version::TLS13).await;
    let reader = wire.clone();
    let reading = tokio::spawn(async move { read_all(&reader, 4096, 99).await });
    tokio::task::yield_now().await;
    wire.abort();
    assert!(within(reading).await.unwrap().is_err());
}
