//! Handshakes that are not as they should be, and what they may cost others.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, ProtocolVersion, version};

use super::counts;
use crate::harness::{Account, Authority, Options, SOON};

async fn shake(config: ClientConfig, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(address.ip().into());
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

/// All that comes until the server ends the connection.
async fn rest(mut tcp: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let end = tokio::time::timeout(SOON, tcp.read_to_end(&mut read)).await;
    // Err inside: a reset, which ends it too.
    end.expect("the server ends it").ok();
    read
}

/// A connection from another address than everybody else's.
async fn stranger(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 9], 0).into()).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_finish_is_dropped_at_the_deadline_and_counts_until_then() {
    let authority = Authority::new();
    let options = Options::new()
        .limit("tls_handshake_ms_max", 1000)
        .limit("connections_per_address_max", 3);
    let server = options.tls(&authority).start().await;
    let silent = stranger(server.address()).await;
    let mut half = stranger(server.address()).await;
    // The head of a handshake record that promises more than comes.
    half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])
        .await
        .unwrap();
    let third = stranger(server.address()).await;
    let fourth = stranger(server.address()).await;
    assert_eq!(rest(fourth).await, b"", "beyond the share of one address");
    for tcp in [silent, half, third] {
        assert_eq!(rest(tcp).await, b"");
    }
    let failed = "fanfare_tls_handshakes_failed_total{reason=\"deadline\"}";
    counts(&server, failed, 3.0).await;
    counts(&server, "fanfare_connections_open", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_and_old_tls_are_told_what_is_wrong() {
    let authority = Authority::new();
    let server = Options::new().tls(&authority).start().await;
    let mut plain = TcpStream::connect(server.address()).await.unwrap();
    plain
        .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let answer = String::from_utf8(rest(plain).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("This port speaks HTTPS.\n"), "{answer}");
    counts(
        &server,
        "fanfare_tls_handshakes_failed_total{reason=\"plain\"}",
        1.0,
    )
    .await;

    // A ClientHello of TLS 1.1 (RFC 4346, 7.4.1.2) with one cipher suite, and as
    // extensions one group and one signature scheme.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0, 0, 16]);
    hello.extend([0, 10, 0, 4, 0, 2, 0, 0x17, 0, 13, 0, 4, 0, 2, 4, 3]);
    let mut record = vec![
        22,
        3,
        1,
        0,
        hello.len() as u8 + 4,
        1,
        0,
        0,
        hello.len() as u8,
    ];
    record.extend(hello);
    let mut old = TcpStream::connect(server.address()).await.unwrap();
    old.write_all(&record).await.unwrap();
    let alert = rest(old).await;
    // Fatal, protocol_version (RFC 8446, 6.2).
    assert_eq!((alert[0], &alert[5..]), (21, &[2, 70][..]), "{alert:?}");
    counts(
        &server,
        "fanfare_tls_handshakes_failed_total{reason=\"failed\"}",
        1.0,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_protocols_and_tickets() {
    let authority = Authority::new();
    let server = Options::new().tls(&authority).start().await;
    let speaking = |names: &[&str]| {
        let mut config = authority.client();
        config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    };
    let refused = shake(speaking(&["h2"]), server.address())
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("NoApplicationProtocol"),
        "{refused}"
    );
    let both = shake(speaking(&["h2", "http/1.1"]), server.address())
        .await
        .unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(
        both.get_ref().1.protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );

    for (version, name) in [
        (&version::TLS13, ProtocolVersion::TLSv1_3),
        (&version::TLS12, ProtocolVersion::TLSv1_2),
    ] {
        let mut config = authority.client();
        if *version == version::TLS12 {
            let trusted = authority.trusted();
            config = ClientConfig::builder_with_provider(config.crypto_provider().clone())
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(trusted)
                .with_no_client_auth();
        }
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut stream = shake(config.clone(), server.address()).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(name));
            stream
                .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        }
        // TLS 1.3 may need a HelloRetryRequest; a second time it is short.
        assert_ne!(kinds[0], HandshakeKind::Resumed);
        assert_eq!(kinds[1], HandshakeKind::Resumed, "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_handshakes_passes_and_others_are_served() {
    let authority = Authority::new();
    let options = Options::new().limit("tls_handshakes_at_once", 1);
    let server = options.tls(&authority).start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let socket = alice.connect(&server).await;
    let storm: Vec<_> = (0..200)
        .map(|_| tokio::spawn(shake(authority.client(), server.address())))
        .collect();
    for line in 0..20 {
        socket.say(&group, &format!("line {line}")).await.unwrap();
    }
    for shaken in storm {
        shaken.await.unwrap().unwrap();
    }
}
