//! An authority that signs certificates for 127.0.0.1, made for one test.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// An authority and a folder with what it signed.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Authority").finish()
    }
}

impl Authority {
    /// With one certificate in [`Self::certificate`] and [`Self::key`].
    pub fn new() -> Arc<Self> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        let root = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), root.pem()).unwrap();
        let authority = Self {
            folder,
            root: root.der().clone(),
            issuer: Issuer::new(params, key),
        };
        authority.sign();
        Arc::new(authority)
    }

    /// Puts a fresh certificate and key in place of those that are there; gives it.
    pub fn sign(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.certificate(), signed.pem()).unwrap();
        std::fs::write(self.key(), key.serialize_pem()).unwrap();
        signed.der().clone()
    }

    /// PEM file of the server's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// PEM file of its key.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// PEM file of the authority itself, for clients.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// It and nobody else.
    pub fn trusted(&self) -> RootCertStore {
        let mut trusted = RootCertStore::empty();
        trusted.add(self.root.clone()).unwrap();
        trusted
    }

    /// A client that trusts it.
    pub fn client(&self) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.trusted())
            .with_no_client_auth()
    }
}
