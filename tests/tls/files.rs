//! Certificate and key: what is said about bad ones, and new ones without a restart.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::KeyPair;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

use crate::harness::server::run;
use crate::harness::{Account, Authority, Options, Server};

/// The certificate that the server shows.
async fn shown(server: &Server, authority: &Authority) -> CertificateDer<'static> {
    let address = server.address();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::IpAddress(address.ip().into());
    let connector = TlsConnector::from(Arc::new(authority.client()));
    let stream = connector.connect(name, tcp).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_brings_the_new_certificate_and_a_bad_file_changes_nothing() {
    let authority = Authority::new();
    let server = Options::new().tls(&authority).start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let socket = alice.connect(&server).await;
    let first = shown(&server, &authority).await;

    let second = authority.sign();
    assert_eq!(shown(&server, &authority).await, first, "not by itself");
    server.signal("-HUP");
    server.says("new connections get the new certificate").await;
    assert_eq!(shown(&server, &authority).await, second);
    socket
        .say(&group, "and the old connection goes on")
        .await
        .unwrap();

    let key = std::fs::read_to_string(authority.key()).unwrap();
    std::fs::write(authority.key(), key.replace("-----END", "-----NED")).unwrap();
    server.signal("-HUP");
    server.says("the old certificate stays because").await;
    server.says("key.pem is no whole PEM file").await;
    assert_eq!(shown(&server, &authority).await, second);
    for line in key.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!server.log().contains(line), "the key is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_without_a_certificate_ends_nothing() {
    let server = Server::start().await;
    server.signal("-HUP");
    server.says("there is no certificate to read again").await;
    assert!(server.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_everybody_may_read_is_remarked_on() {
    for (mode, is_said) in [(0o644, true), (0o640, false)] {
        let authority = Authority::new();
        std::fs::set_permissions(authority.key(), PermissionsExt::from_mode(mode)).unwrap();
        let server = Options::new().tls(&authority).start().await;
        server.says("ready").await;
        let said = server.log().contains("everybody on this machine may read");
        assert_eq!(said, is_said, "{mode:o}");
    }
}

#[test]
fn bad_files_are_refused_by_name() {
    let (one, other) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("empty.pem"), "").unwrap();
    std::fs::write(at("torn.pem"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    let text = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n";
    std::fs::write(at("text.pem"), text).unwrap();
    let locked = KeyPair::generate().unwrap().serialize_pem();
    let locked = locked.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    std::fs::write(at("locked.pem"), &locked).unwrap();
    let text = "-----BEGIN PRIVATE KEY-----\nbm90aGluZw==\n-----END PRIVATE KEY-----\n";
    std::fs::write(at("no-key.pem"), text).unwrap();
    let (cert, key) = (one.certificate(), one.key());
    for (certificate, key, why) in [
        (at("missing.pem"), key.clone(), "missing.pem cannot be read"),
        (
            cert.clone(),
            at("missing.pem"),
            "missing.pem cannot be read",
        ),
        (
            at("empty.pem"),
            key.clone(),
            "empty.pem holds no certificate",
        ),
        (at("torn.pem"), key.clone(), "torn.pem is no whole PEM file"),
        (
            at("text.pem"),
            key.clone(),
            "text.pem holds something that is no X.509",
        ),
        (key.clone(), key.clone(), "key.pem holds no certificate"),
        (
            cert.clone(),
            cert.clone(),
            "certificate.pem holds no private key",
        ),
        (
            cert.clone(),
            at("locked.pem"),
            "locked.pem holds a key under a passphrase",
        ),
        (
            cert.clone(),
            at("no-key.pem"),
            "no-key.pem holds a key that TLS cannot use",
        ),
        (
            cert.clone(),
            other.key(),
            "does not belong to the certificate in",
        ),
    ] {
        let said = refusal(folder.path(), &certificate, &key);
        assert!(said.contains(why), "{why}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// What a server with these files says instead of starting.
fn refusal(folder: &Path, certificate: &Path, key: &Path) -> String {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let data = folder.join("data");
    let (status, _, said) = run(
        &["--listen", "127.0.0.1:0", "--data", &text(&data)],
        &[
            ("FANFARE_TLS_CERT", &text(certificate)),
            ("FANFARE_TLS_KEY", &text(key)),
        ],
    );
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!data.exists(), "no data folder is made");
    said
}
