//! The settings of the CQL store: whether they fit each other, and what they
//! come to for `fanfare-storage`.

use std::path::Path;
use std::sync::Arc;

use fanfare_storage::cql::CqlOptions;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{Config, ConfigError, Store, Switch, unfit};

/// Where CQL servers listen when no port is named.
const PORT: u16 = 9042;

impl Config {
    /// How the CQL store is reached. Reads `cql_ca`.
    ///
    /// # Errors
    /// [`ConfigError::Unfit`] for a `cql_ca` that cannot be used.
    pub fn cql_options(&self) -> Result<CqlOptions, ConfigError> {
        let nodes = self.cql_nodes.iter().map(|node| with_port(node));
        let login = self.cql_user.clone().zip(self.cql_password.clone());
        let tls = self.cql_ca.as_deref().map(tls).transpose();
        Ok(CqlOptions {
            datacenter: self.cql_datacenter.clone(),
            replicas: self.cql_replicas,
            login: login.map(|(user, password)| (user, password.get())),
            tls: tls.map_err(|why| unfit("cql_ca", why))?.map(Arc::new),
            migrate: self.cql_migrate == Switch::On,
            ..CqlOptions::new(nodes.collect(), self.cql_keyspace.clone())
        })
    }

    /// Refuses settings of one store beside another, and those that no server
    /// would take.
    pub(super) fn check_cql(&self) -> Result<(), ConfigError> {
        match self.store {
            Store::Embedded => return self.check_no_cql(),
            Store::Cql => {}
        }
        if self.cql_nodes.is_empty() {
            let why = "is missing; name some nodes of the cluster, like 10.0.0.1,10.0.0.2";
            return Err(unfit("cql_nodes", why));
        }
        if let Some(strange) = self.cql_nodes.iter().find(|node| !is_node(node)) {
            let strange = super::print::redacted(strange);
            let why = format!("`{strange}` is no node like 10.0.0.1 or db.example.org:9042");
            return Err(unfit("cql_nodes", why));
        }
        fanfare_storage::cql::check_keyspace(&self.cql_keyspace)
            .map_err(|why| unfit("cql_keyspace", why))?;
        if self.cql_replicas == 0 {
            return Err(unfit(
                "cql_replicas",
                "must be 1 at least, and 3 in production",
            ));
        }
        match (&self.cql_user, &self.cql_password) {
            (Some(_), None) => {
                let why = "is missing; cql_user needs one (FANFARE_CQL_PASSWORD or the file)";
                Err(unfit("cql_password", why))
            }
            (None, Some(_)) => Err(unfit("cql_user", "is missing; cql_password needs one")),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }

    fn check_no_cql(&self) -> Result<(), ConfigError> {
        let default = Self::default();
        let given = [
            ("cql_nodes", self.cql_nodes != default.cql_nodes),
            ("cql_keyspace", self.cql_keyspace != default.cql_keyspace),
            ("cql_datacenter", self.cql_datacenter.is_some()),
            ("cql_replicas", self.cql_replicas != default.cql_replicas),
            ("cql_user", self.cql_user.is_some()),
            ("cql_password", self.cql_password.is_some()),
            ("cql_ca", self.cql_ca.is_some()),
            ("cql_migrate", self.cql_migrate != default.cql_migrate),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(unfit(key, "only for store = \"cql\"")),
            None => Ok(()),
        }
    }
}

fn is_node(node: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    !node.is_empty() && node.chars().all(plain)
}

/// The node with the port that the driver wants to be told.
fn with_port(node: &str) -> String {
    let named = match node.rsplit_once(':') {
        // A bare IPv6 address is full of colons.
        Some((host, port)) => {
            (!host.contains(':') || host.ends_with(']')) && port.parse::<u16>().is_ok()
        }
        None => false,
    };
    match named {
        true => node.to_owned(),
        false if node.contains(':') && !node.starts_with('[') => format!("[{node}]:{PORT}"),
        false => format!("{node}:{PORT}"),
    }
}

/// TLS that trusts whom the file trusts, and nobody else.
fn tls(path: &Path) -> Result<ClientConfig, String> {
    let name = path.display();
    let pem = std::fs::read(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| format!("{name} is no whole PEM file"))?;
        let added = roots.add(certificate);
        added
            .map_err(|error| format!("{name} holds a certificate that cannot be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err(format!("{name} holds no certificate (BEGIN CERTIFICATE)"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    fn cql() -> Config {
        Config {
            store: Store::Cql,
            cql_nodes: vec!["10.0.0.1".into()],
            ..Config::default()
        }
    }

    fn secret() -> Secret {
        serde_json::from_str("\"canary\"").unwrap()
    }

    #[test]
    fn settings_that_do_not_fit_are_named() {
        type Spoil = fn(&mut Config);
        let table: [(Spoil, &str); 8] = [
            (
                |c| c.cql_nodes.clear(),
                "`cql_nodes` is wrong: is missing; name some",
            ),
            (
                |c| c.cql_nodes = vec!["cql://u:p@a/".into()],
                "`cql://…@a/` is no node",
            ),
            (
                |c| c.cql_keyspace = "Chat".into(),
                "`cql_keyspace` is wrong: `Chat`",
            ),
            (|c| c.cql_replicas = 0, "`cql_replicas` is wrong: must be 1"),
            (
                |c| c.cql_user = Some("u".into()),
                "`cql_password` is wrong: is missing",
            ),
            (
                |c| c.cql_password = Some(secret()),
                "`cql_user` is wrong: is missing",
            ),
            (
                |c| (c.store, c.cql_replicas) = (Store::Embedded, 1),
                "`cql_nodes` is wrong: only for",
            ),
            (
                |c| {
                    *c = Config::default();
                    c.cql_password = Some(secret());
                },
                "`cql_password` is wrong: only for",
            ),
        ];
        cql().check_cql().unwrap();
        for (change, error) in table {
            let mut config = cql();
            change(&mut config);
            let found = config.check_cql().unwrap_err().to_string();
            assert!(
                found.contains(error) && !found.contains("canary"),
                "{found}"
            );
        }
    }

    #[test]
    fn nodes_get_their_port() {
        for (node, full) in [
            ("10.0.0.1", "10.0.0.1:9042"),
            ("10.0.0.1:19042", "10.0.0.1:19042"),
            ("db.example.org", "db.example.org:9042"),
            ("fd00::1", "[fd00::1]:9042"),
            ("[fd00::1]", "[fd00::1]:9042"),
            ("[fd00::1]:19042", "[fd00::1]:19042"),
        ] {
            assert_eq!(with_port(node), full);
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        for (text, why) in [
            (None, "cannot be read"),
            (Some("nothing"), "holds no certificate"),
            (Some("-----BEGIN CERTIFICATE-----\nAA"), "no whole PEM"),
        ] {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let config = Config {
                cql_ca: Some(path.clone()),
                ..cql()
            };
            let error = config.cql_options().err().unwrap().to_string();
            assert!(error.contains(why) && error.contains("ca.pem"), "{error}");
        }
    }
}
