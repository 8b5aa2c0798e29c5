//! Where a store is: `embedded:FOLDER` or `cql:HOST:PORT,…/KEYSPACE`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use fanfare_protocol::Limits;
use fanfare_storage::cql::{Cql, CqlOptions};
use fanfare_storage::{Embedded, Ports};

use crate::config::{self, Config};

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a folder.
    Embedded(PathBuf),
    /// On a cluster.
    Cql {
        /// Some of its nodes, `host:port`.
        nodes: Vec<String>,
        /// Keyspace.
        keyspace: String,
    },
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is neither embedded:FOLDER nor cql:HOST:PORT,HOST:PORT/KEYSPACE");
        match text.split_once(':').ok_or_else(wrong)? {
            ("embedded", folder) if !folder.is_empty() => Ok(Self::Embedded(folder.into())),
            ("cql", place) => {
                let (nodes, keyspace) = place.rsplit_once('/').ok_or_else(wrong)?;
                let nodes: Vec<String> = nodes.split(',').map(str::to_owned).collect();
                if keyspace.is_empty() || nodes.iter().any(String::is_empty) {
                    return Err(wrong());
                }
                let keyspace = keyspace.to_owned();
                Ok(Self::Cql { nodes, keyspace })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(folder) => write!(f, "embedded:{}", folder.display()),
            Self::Cql { nodes, keyspace } => write!(f, "cql:{}/{keyspace}", nodes.join(",")),
        }
    }
}

/// The configured store, and how the servers of any cluster are reached.
///
/// # Errors
/// For a certificate that cannot be used.
pub fn configured(config: &Config) -> anyhow::Result<(Location, CqlOptions)> {
    let options = config.cql_options()?;
    let location = match config.store {
        config::Store::Embedded => Location::Embedded(config.data.clone()),
        config::Store::Cql => Location::Cql {
            nodes: options.nodes.clone(),
            keyspace: options.keyspace.clone(),
        },
    };
    Ok((location, options))
}

/// A store that was opened.
pub enum Store {
    /// In a folder, locked.
    Embedded(Embedded),
    /// On a cluster.
    Cql(Cql),
}

impl Store {
    /// Opens what is there; makes nothing.
    ///
    /// # Errors
    /// A sentence for people.
    pub async fn open(location: &Location, options: CqlOptions) -> anyhow::Result<Self> {
        if let Location::Embedded(folder) = location
            && !folder.join("format").exists()
        {
            bail!("there are no data in {}", folder.display());
        }
        let options = CqlOptions {
            migrate: false,
            ..options
        };
        Self::open_as(location, options).await
    }

    /// Opens it, made if it does not exist.
    ///
    /// # Errors
    /// A sentence for people.
    pub async fn open_or_make(location: &Location, options: CqlOptions) -> anyhow::Result<Self> {
        let options = CqlOptions {
            migrate: true,
            ..options
        };
        Self::open_as(location, options).await
    }

    async fn open_as(location: &Location, options: CqlOptions) -> anyhow::Result<Self> {
        let cannot = || format!("cannot open {location}");
        match location {
            Location::Embedded(folder) => {
                let opened = embedded(folder).await.with_context(cannot)?;
                Ok(Self::Embedded(opened))
            }
            Location::Cql { nodes, keyspace } => {
                let options = CqlOptions {
                    nodes: nodes.clone(),
                    keyspace: keyspace.clone(),
                    ..options
                };
                let opened = Cql::open(&options).await.with_context(cannot)?;
                Ok(Self::Cql(opened))
            }
        }
    }

    /// Its ports.
    pub fn ports(&self) -> Ports {
        match self {
            Self::Embedded(store) => store.ports(),
            Self::Cql(store) => store.ports(),
        }
    }

    /// Writes what waits and gives it free.
    ///
    /// # Errors
    /// When the thread that closes it panicked.
    pub async fn close(self) -> anyhow::Result<()> {
        let closed = tokio::task::spawn_blocking(move || drop(self)).await;
        closed.context("cannot close the store")
    }
}

async fn embedded(folder: &Path) -> anyhow::Result<Embedded> {
    let folder = folder.to_owned();
    let open = move || Embedded::open(&folder, &Limits::default());
    Ok(tokio::task::spawn_blocking(open).await??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in [
            "embedded:/a/b",
            "embedded:x:y",
            "cql:a:9042,b:1/k",
            "cql:a:9042/k",
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "/a/b",
            "embedded:",
            "cql:a:1",
            "cql:/k",
            "cql:a:1,/k",
            "cql:a:1/",
            "mem:x",
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(error.contains("neither"), "{error}");
        }
    }
}
