//! Opening the data: the store, its secret, the key of access tokens.

pub mod cql;

use anyhow::{Context as _, anyhow};
use fanfare_actors::account::{TokenKey, random};
use fanfare_engine::port::StoreError;
use fanfare_engine::secret::DataSecret;
use fanfare_storage::backup::Backups;
use fanfare_storage::copy::Tally;
use fanfare_storage::cql::Cql;
use fanfare_storage::{Embedded, NodeFolder, OpenError, Ports};

use crate::config::{Config, Store};
use crate::keys::{shared_token_key, token_key};

/// The data of this process, its folder locked until it is dropped (which
/// blocks until everything is written).
pub struct Opened {
    /// Closes when dropped.
    kept: Kept,
    /// Its ports.
    pub ports: Ports,
    /// The secret that travels with the data.
    pub secret: DataSecret,
    /// The key of access tokens.
    pub key: TokenKey,
}

/// What remembers. The folder of a node is given free last.
enum Kept {
    Embedded(Embedded),
    Cql(Cql, NodeFolder),
}

impl Opened {
    /// This node's folder, locked, and the name in it; `None` where the store
    /// lies in the folder itself and no other node can have it.
    pub fn node(&self) -> Option<&NodeFolder> {
        match &self.kept {
            Kept::Embedded(_) => None,
            Kept::Cql(_, node) => Some(node),
        }
    }
}

impl Opened {
    /// Takes backups, where the store lies in this process's folder.
    pub fn backups(&self) -> Option<Backups> {
        match &self.kept {
            Kept::Embedded(store) => Some(store.backups()),
            Kept::Cql(..) => None,
        }
    }
}

impl Kept {
    fn ports(&self) -> Ports {
        match self {
            Self::Embedded(store) => store.ports(),
            Self::Cql(store, _) => store.ports(),
        }
    }

    async fn data_secret(&self, fresh: [u8; 32]) -> Result<DataSecret, StoreError> {
        match self {
            Self::Embedded(store) => store.data_secret(fresh).await,
            Self::Cql(store, _) => store.data_secret(fresh).await,
        }
    }
}

/// Opens the data: the folder, made if it does not exist, or the CQL store.
///
/// # Errors
/// A sentence for people: what cannot be done, why, and what to do.
pub async fn open(config: &Config) -> anyhow::Result<Opened> {
    let (kept, key) = match config.store {
        Store::Embedded => {
            let store = embedded(config).await?;
            // With the folder locked: nobody else makes a key.
            (Kept::Embedded(store), token_key(&config.data)?)
        }
        Store::Cql => {
            let (store, node) = cql::open(config).await?;
            let key = shared_token_key(&store).await?;
            (Kept::Cql(store, node), key)
        }
    };
    let fresh = random().map_err(|_| anyhow!("the operating system gives no random bytes"))?;
    // One of several servers may hang: what is asked of it is asked again.
    let secret = Tally::default().again(|| kept.data_secret(fresh)).await;
    let secret = secret.context("cannot read the data's secret")?;
    Ok(Opened {
        ports: kept.ports(),
        kept,
        secret,
        key,
    })
}

async fn embedded(config: &Config) -> anyhow::Result<Embedded> {
    let (folder, limits) = (config.data.clone(), config.limits.clone());
    let opened = tokio::task::spawn_blocking(move || Embedded::open(&folder, &limits)).await;
    opened
        .context("cannot open the data because its thread ended early")?
        .map_err(|error| folder_refused(config, error))
}

/// The sentence for a folder that cannot be used.
fn folder_refused(config: &Config, error: OpenError) -> anyhow::Error {
    let advice = match &error {
        OpenError::Locked(_) => "stop that process or choose another folder with --data",
        OpenError::Newer { .. } => {
            "use that version of fanfare or choose another folder with --data"
        }
        OpenError::Foreign { .. } => "choose another folder with --data",
        OpenError::Io { .. } | OpenError::Cells { .. } => {
            "check the disk and the folder's owner and mode"
        }
    };
    let folder = config.data.display();
    let error = anyhow::Error::from(error);
    anyhow!("cannot open the data in {folder} because {error:#}; {advice}")
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    async fn refused(config: &Config) -> String {
        open(config).await.err().unwrap().to_string()
    }

    #[tokio::test]
    async fn the_secret_stays_and_a_second_process_is_sent_away() {
        let folder = tempdir().unwrap();
        let config = Config {
            data: folder.path().join("data"),
            ..Config::default()
        };
        let first = open(&config).await.unwrap();
        let secret = first.secret.hash(&[b"x"]);
        let error = refused(&config).await;
        assert!(error.contains("in use by another process; stop"), "{error}");
        tokio::task::spawn_blocking(|| drop(first)).await.unwrap();
        let again = open(&config).await.unwrap();
        assert_eq!(again.secret.hash(&[b"x"]), secret);
    }

    #[tokio::test]
    async fn data_of_a_newer_version_or_of_somebody_else_is_refused() {
        let folder = tempdir().unwrap();
        let config = Config {
            data: folder.path().to_owned(),
            ..Config::default()
        };
        let mark = folder.path().join("format");
        std::fs::write(&mark, "fanfare embedded store, format 9999\n").unwrap();
        let error = refused(&config).await;
        assert!(error.contains("newer version (format 9999"), "{error}");
        std::fs::write(&mark, "something else").unwrap();
        let error = refused(&config).await;
        assert!(error.contains("is no data folder of Fanfare"), "{error}");
    }
}
