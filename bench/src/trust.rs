//! Whom a generator trusts that speaks TLS.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// A client that trusts the certificates in `file` (PEM) and nobody else. No
/// connection takes up where another left: each costs a whole handshake.
///
/// # Errors
/// A sentence for people that names the file.
pub fn client(file: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let why = || format!("cannot trust what is in {}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).with_context(why)? {
        let certificate = certificate.with_context(why)?;
        roots.add(certificate).with_context(why)?;
    }
    anyhow::ensure!(!roots.is_empty(), "{} holds no certificate", file.display());
    let provider = CryptoProvider {
        // As browsers do it.
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        ..default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
