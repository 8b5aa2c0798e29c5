//! Opening the data: the store, its secret, the key of access tokens.

use anyhow::{Context as _, anyhow};
use fanfare_actors::account::{TokenKey, random};
use fanfare_engine::secret::DataSecret;
use fanfare_storage::{Embedded, OpenError, Ports};

use crate::config::{Config, Store};
use crate::keys::token_key;

/// The data of this process, locked until it is dropped (which blocks until
/// everything is written).
pub struct Opened {
    /// Closes when dropped.
    _store: Embedded,
    /// Its ports.
    pub ports: Ports,
    /// The secret that travels with the data.
    pub secret: DataSecret,
    /// The key of access tokens.
    pub key: TokenKey,
}

/// Opens the data folder, made if it does not exist.
///
/// # Errors
/// A sentence for people: what cannot be done, why, and what to do.
pub async fn open(config: &Config) -> anyhow::Result<Opened> {
    let store = match config.store {
        Store::Embedded => embedded(config).await?,
        // Refused with the configuration.
        Store::Cql => return Err(anyhow!("the CQL store is not built into this version")),
    };
    // With the folder locked: nobody else makes a key.
    let key = token_key(&config.data)?;
    let fresh = random().map_err(|_| anyhow!("the operating system gives no random bytes"))?;
    let secret = store.data_secret(fresh).await;
    let secret = secret.context("cannot read the data's secret")?;
    Ok(Opened {
        ports: store.ports(),
        _store: store,
        secret,
        key,
    })
}

async fn embedded(config: &Config) -> anyhow::Result<Embedded> {
    let (folder, limits) = (config.data.clone(), config.limits.clone());
    let opened = tokio::task::spawn_blocking(move || Embedded::open(&folder, &limits)).await;
    opened
        .context("cannot open the data because its thread ended early")?
        .map_err(|error| {
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
        })
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
        assert!(error.contains("no embedded store of Fanfare"), "{error}");
    }
}
