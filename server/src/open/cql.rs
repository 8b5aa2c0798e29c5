//! Opening the store on a CQL cluster, and what to do when it cannot be.

use anyhow::{Context as _, anyhow};
use fanfare_storage::NodeFolder;
use fanfare_storage::copy::Tally;
use fanfare_storage::cql::{Cql, CqlOptions, MigrationError, OpenError};

use super::folder_refused;
use crate::config::Config;

/// Takes the node's folder, then opens the store.
///
/// # Errors
/// A sentence for people: what cannot be done, why, and what to do.
pub(super) async fn open(config: &Config) -> anyhow::Result<(Cql, NodeFolder)> {
    let options = config.cql_options()?;
    let folder = config.data.clone();
    let node = tokio::task::spawn_blocking(move || NodeFolder::open(&folder)).await;
    let node = node.context("cannot open the data folder because its thread ended early")?;
    let node = node.map_err(|error| folder_refused(config, error))?;
    if node.holds_embedded() {
        let data = config.data.display();
        tracing::warn!(%data, "the embedded store in this folder is not used: store = \"cql\"");
    }
    let store = patiently(&options).await;
    let store = store.map_err(|error| refused(config, error))?;
    Ok((store, node))
}

/// Opens the store, again and again for a while where servers are there and one
/// of them hangs.
async fn patiently(options: &CqlOptions) -> Result<Cql, OpenError> {
    let (tally, mut refusal) = (Tally::default(), None);
    let opened = tally.again(async || match Cql::open(options).await {
        Ok(store) => Ok(Some(store)),
        Err(OpenError::Store(error)) => Err(error),
        Err(error) => {
            refusal = Some(error);
            Ok(None)
        }
    });
    let opened = opened.await?;
    opened.ok_or_else(|| refusal.unwrap_or_else(|| OpenError::Connect("no answer".into())))
}

/// The sentence for an error of the CQL store.
pub fn refused(config: &Config, error: OpenError) -> anyhow::Error {
    let advice = advice(&error);
    let place = place(config);
    let error = anyhow::Error::from(error);
    anyhow!("cannot open the CQL store ({place}) because {error:#}; {advice}")
}

/// Which store: for people.
pub fn place(config: &Config) -> String {
    let nodes = config.cql_nodes.join(",");
    format!("keyspace {} on {nodes}", config.cql_keyspace)
}

/// What to do about it.
pub fn advice(error: &OpenError) -> String {
    let text = match error {
        OpenError::Named(_) => "write the name as `nodetool status` shows it",
        OpenError::Connect(_) => "start the servers, or name others with --cql-nodes",
        OpenError::Login(_) => "set cql_user, and cql_password by file or FANFARE_CQL_PASSWORD",
        OpenError::Tls(_) => {
            "cql_ca must hold the certificate that signed the server's, and that one must name the \
             server's IP address"
        }
        OpenError::Plain(_) => {
            "leave cql_ca out, or turn TLS on at the servers (client_encryption_options)"
        }
        OpenError::Cut(_) => {
            "name who signed the servers' certificates with --cql-ca; where they want no TLS, look \
             into their log"
        }
        OpenError::Home { stored, names, .. } => {
            return format!(
                "start it with --cql-datacenter {stored}; to move the home, stop all engines and DELETE \
                 FROM {names}.single_values WHERE name = 'home-datacenter' IF EXISTS"
            );
        }
        OpenError::Datacenter { .. } => {
            "name the one where all engines of this keyspace are with --cql-datacenter"
        }
        OpenError::Replicas { nodes, .. } => {
            return format!(
                "add nodes, or choose fewer copies with --cql-replicas {}; with less than 3 no node \
                 may fail, which is for development only",
                (*nodes).max(1)
            );
        }
        OpenError::Elsewhere { .. } => {
            "name its home with --cql-datacenter, or ALTER KEYSPACE so that this datacentre keeps \
             copies, and `nodetool repair`"
        }
        OpenError::Migration(error) => return migration_advice(error).to_owned(),
        OpenError::Prepare { .. } => {
            "run `fanfare migrate`, and GRANT SELECT and MODIFY on both keyspaces to the user"
        }
        OpenError::Timestamps { .. } => {
            "use ScyllaDB or Apache Cassandra with its defaults: the order of messages rests on \
             timestamps"
        }
        _ => "start again; `nodetool status` shows which servers are down",
    };
    text.to_owned()
}

fn migration_advice(error: &MigrationError) -> &'static str {
    match error {
        MigrationError::Newer { .. } => {
            "use that version of fanfare, or another keyspace with --cql-keyspace"
        }
        MigrationError::Changed { .. } => {
            "use the build of fanfare that applied it, or another keyspace with --cql-keyspace"
        }
        MigrationError::Older { .. } => "run `fanfare migrate`, or set cql_migrate = \"on\"",
        MigrationError::LockLost => "start again",
        _ => {
            "start again; a user who may not change the schema needs somebody else's \
             `fanfare migrate` first"
        }
    }
}
