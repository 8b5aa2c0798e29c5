//! How to reach the servers, and what our keyspaces are called.

use std::sync::Arc;

use fanfare_protocol::limits::CQL_KEYSPACE_CHARACTERS_MAX;
use secrecy::SecretString;

use super::error::OpenError;

/// How a CQL store is reached. Limits stand in [`fanfare_protocol::limits`].
#[derive(Clone)]
pub struct CqlOptions {
    /// Some nodes of the cluster, `host:port`; the others are found by these.
    pub nodes: Vec<String>,
    /// The keyspace, `[a-z][a-z0-9_]{0,39}`; compare-and-set rows lie in a
    /// second one, `…_names`.
    pub keyspace: String,
    /// The owners' home datacentre: quorums are its quorums. `None` takes the
    /// only one there is.
    pub datacenter: Option<String>,
    /// Copies of each row there, when the keyspaces are made. 3 in production.
    pub replicas: u8,
    /// User and password.
    pub login: Option<(String, SecretString)>,
    /// TLS towards the servers.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Whether opening applies migrations that are missing; otherwise it
    /// refuses to open an older schema.
    pub migrate: bool,
    /// A migration lock that was not renewed for this long has a dead holder.
    pub migration_lease_ms: u64,
}

impl CqlOptions {
    /// One copy on these nodes, without TLS or log-in, migrating at start.
    pub fn new(nodes: Vec<String>, keyspace: impl Into<String>) -> Self {
        Self {
            nodes,
            keyspace: keyspace.into(),
            datacenter: None,
            replicas: 1,
            login: None,
            tls: None,
            migrate: true,
            migration_lease_ms: fanfare_protocol::limits::MIGRATION_LEASE_MS,
        }
    }
}

/// The names of our two keyspaces. They and the datacentre stand in
/// statements as they are, therefore nothing but plain names is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyspaces {
    /// Plain rows under logical timestamps.
    pub(crate) data: String,
    /// Compare-and-set rows.
    pub(crate) names: String,
}

/// Whether a keyspace may have this name.
///
/// # Errors
/// A sentence that says what a name looks like.
pub fn check_keyspace(name: &str) -> Result<(), String> {
    Keyspaces::named(name).map(drop).map_err(|_| {
        format!(
            "`{name}` is no name: it begins with a letter a to z, then come letters, digits and _, \
             at most {CQL_KEYSPACE_CHARACTERS_MAX} characters"
        )
    })
}

impl Keyspaces {
    /// # Errors
    /// [`OpenError::Named`] for what is no plain name.
    pub(crate) fn named(keyspace: &str) -> Result<Self, OpenError> {
        let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_');
        let fits = keyspace.len() <= CQL_KEYSPACE_CHARACTERS_MAX
            && keyspace.starts_with(|c: char| c.is_ascii_lowercase())
            && keyspace.chars().all(plain);
        if !fits {
            return Err(OpenError::Named(keyspace.to_owned()));
        }
        Ok(Self {
            data: keyspace.to_owned(),
            names: format!("{keyspace}_names"),
        })
    }

    /// A statement with the keyspaces filled in.
    pub(crate) fn fill(&self, statement: &str) -> String {
        statement
            .replace("{data}", &self.data)
            .replace("{names}", &self.names)
    }
}

/// Whether a datacentre's name may stand in a statement.
///
/// # Errors
/// [`OpenError::Named`] for what may not.
pub(crate) fn check_datacenter(name: &str) -> Result<(), OpenError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
        return Err(OpenError::Named(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_taken() {
        for good in ["chat", "a1_b", &"x".repeat(40)] {
            assert_eq!(Keyspaces::named(good).unwrap().data, *good);
        }
        for bad in ["", "1a", "Chat", "a-b", "a;b", "a b", &"x".repeat(41), "_a"] {
            assert!(Keyspaces::named(bad).is_err(), "{bad:?}");
        }
        assert!(check_datacenter("eu-west.1").is_ok());
        for bad in ["", "a'b", "a b"] {
            assert!(check_datacenter(bad).is_err(), "{bad:?}");
        }
    }
}
