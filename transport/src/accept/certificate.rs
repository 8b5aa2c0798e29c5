//! The certificate and its key, from two PEM files. Nothing of the key's
//! content gets into an error or a log line.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs::{Ticketer, default_provider, kx_group};
use tokio_rustls::rustls::crypto::{CryptoProvider, SupportedKxGroup};
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{Error as RustlsError, InconsistentKeys, ServerConfig};
use zeroize::Zeroizing;

/// Where certificate and key lie.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// PEM: the server's own certificate, then those that signed it.
    pub certificate: PathBuf,
    /// PEM: the private key (PKCS#8, SEC 1 or PKCS#1), without a passphrase.
    pub key: PathBuf,
}

/// Why there is no certificate to use.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file that is not there or may not be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file with other content than it should have.
    #[error("{} {what}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Each file is well, but they do not belong together.
    #[error("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// rustls does not want it.
    #[error("TLS cannot be set up")]
    Setup(#[source] RustlsError),
}

impl CertificateFiles {
    /// TLS 1.2 and 1.3 with this certificate, HTTP/1.1 by ALPN, and tickets,
    /// so that whoever comes back needs no new key exchange in full. Their
    /// keys are new with each call.
    ///
    /// # Errors
    /// See [`CertificateError`]; it names the file.
    pub(super) fn load(&self) -> Result<ServerConfig, CertificateError> {
        let chain = self.chain()?;
        let provider = provider();
        let key = provider.key_provider.load_private_key(self.key()?);
        let key = key.map_err(|_| {
            wrong(
                &self.key,
                "holds a key that TLS cannot use: it takes ECDSA, Ed25519 and RSA from 2048 bits",
            )
        })?;
        let pair = CertifiedKey::new(chain, key);
        match pair.keys_match() {
            Ok(()) | Err(RustlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(RustlsError::InconsistentKeys(_)) => {
                return Err(CertificateError::Pair {
                    certificate: self.certificate.clone(),
                    key: self.key.clone(),
                });
            }
            Err(_) => {
                let what = "holds something that is no X.509 certificate";
                return Err(wrong(&self.certificate, what));
            }
        }
        warn_of_readers(&self.key);
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // What a client needs to come back lies in its ticket, not here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new().map_err(CertificateError::Setup)?;
        Ok(config)
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
        let path = &self.certificate;
        let pem = read(path)?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| wrong(path, "is no whole PEM file"))?;
        if chain.is_empty() {
            return Err(wrong(path, "holds no certificate (BEGIN CERTIFICATE)"));
        }
        Ok(chain)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, CertificateError> {
        let path = &self.key;
        let pem = read(path)?;
        PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
            let text = String::from_utf8_lossy(&pem);
            let what = match error {
                PemError::NoItemsFound if text.contains("BEGIN ENCRYPTED PRIVATE KEY") => {
                    "holds a key under a passphrase, which nobody is there to type"
                }
                PemError::NoItemsFound => "holds no private key (BEGIN PRIVATE KEY)",
                _ => "is no whole PEM file",
            };
            wrong(path, what)
        })
    }
}

/// aws-lc, with the key exchange first that a recording of today cannot be
/// opened with by a quantum computer of tomorrow.
fn provider() -> CryptoProvider {
    let groups: [&dyn SupportedKxGroup; 4] = [
        kx_group::X25519MLKEM768,
        kx_group::X25519,
        kx_group::SECP256R1,
        kx_group::SECP384R1,
    ];
    CryptoProvider {
        kx_groups: groups.to_vec(),
        ..default_provider()
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let bytes = std::fs::read(path).map_err(|source| CertificateError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(Zeroizing::new(bytes))
}

fn wrong(path: &Path, what: &'static str) -> CertificateError {
    CertificateError::Content {
        path: path.to_owned(),
        what,
    }
}

/// Certbot and the like give keys to a group; to everybody is an accident.
fn warn_of_readers(key: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(key).map(|found| found.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o004 != 0) {
            let key = key.display();
            tracing::warn!(%key, "everybody on this machine may read the TLS key: chmod o-r");
        }
    }
}
