//! The same with TLS in front.

use fanfare_protocol::Limits;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;

struct TlsServer {
    server: Server,
    client: Arc<ClientConfig>,
}

impl TlsServer {
    fn start(limits: AcceptLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
        };
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let tls = Arc::new(Tls::load(files, &Limits::default()).unwrap());
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = Listener::bind(any_port, limits, TrustedProxies::default()).unwrap();
        let mut trusted = RootCertStore::empty();
        trusted.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusted)
            .with_no_client_auth();
        Self {
            server: Server::over(listener.with_tls(tls), PATIENCE),
            client: Arc::new(client),
        }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let tcp = within(TcpStream::connect(self.server.address)).await;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::clone(&self.client));
        within(connector.connect(name, tcp.unwrap())).await.unwrap()
    }
}

#[tokio::test]
async fn a_response_over_tls_that_nobody_reads_is_given_up() {
    let tls = TlsServer::start(AcceptLimits {
        response_stalled_time_max: SHORT,
        ..limits()
    });
    let mut client = tls.connect().await;
    let request = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
    client.write_all(request).await.unwrap();
    until("it is served", || tls.server.open.count() == 1).await;
    until("it is cut off", || tls.server.open.count() == 0).await;
}

#[tokio::test]
async fn many_records_of_a_response_arrive_in_order() {
    let tls = TlsServer::start(limits());
    let mut client = tls.connect().await;
    let request = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut answer = vec![0; 2 << 20];
    within(client.read_exact(&mut answer)).await.unwrap();
    let head = answer.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
    assert!(answer[head + 4..].iter().all(|byte| *byte == b'x'));
}

#[tokio::test]
async fn a_drain_over_tls_ends_idle_connections_and_handshakes_at_once() {
    let tls = TlsServer::start(limits());
    let silent = within(TcpStream::connect(tls.server.address)).await;
    let mut idle = tls.connect().await;
    idle.write_all(b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut head = [0; 12];
    within(idle.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    until("both are counted", || tls.server.open.count() == 2).await;
    assert_eq!(tls.server.drained().await, Drained { cut_off: 0 });
    // With close_notify, or this were an error.
    let mut rest = Vec::new();
    within(idle.read_to_end(&mut rest)).await.unwrap();
    drop(silent);
}
