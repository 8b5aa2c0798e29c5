//! What there is on the other side: servers, datacentres, copies, schema. For
//! `fanfare doctor`, and to refuse at the start what cannot work later.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use fanfare_engine::port::StoreError;
use fanfare_engine::stamp::Stamp;
use fanfare_protocol::limits::{CQL_CONNECT_MS, CQL_PROBE_MS};
use scylla::client::session::Session;

use super::error::{OpenError, damaged, read_error};
use super::flavour::{FIND_VERSION, FIND_VERSIONS_TABLE, Flavour};
use super::home;
use super::options::{CqlOptions, Keyspaces};
use super::schema::{self, Migration};
use super::session;

/// Its second column tells how often each datacentre keeps a row.
const FIND_KEYSPACE: &str =
    "SELECT keyspace_name, replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
const FIND_RELEASE: &str = "SELECT release_version FROM system.local WHERE key = 'local'";

/// What was found.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Product and version of the server that answered.
    pub server: String,
    /// The home datacentre.
    pub datacenter: String,
    /// The one that the engines of the keyspace have, if any was started.
    pub home: Option<String>,
    /// Nodes of the home datacentre, and how many of them we are connected to.
    pub nodes: (usize, usize),
    /// Copies of each row in the home datacentre, keyspace by keyspace;
    /// `None`: the keyspace is not there yet.
    pub replicas: Vec<(String, Option<u32>)>,
    /// Every migration that this program knows or the store remembers.
    pub migrations: Vec<Migration>,
    /// Whether the server keeps timestamps as it is given them; `None` where
    /// there is no table yet to try it on.
    pub keeps_timestamps: Option<bool>,
}

/// Looks, and changes nothing but the row of the probe, which every start
/// writes too.
///
/// # Errors
/// See [`OpenError`].
pub async fn survey(options: &CqlOptions) -> Result<Survey, OpenError> {
    let keyspaces = Keyspaces::named(&options.keyspace)?;
    let (session, datacenter) = session::connect(options).await?;
    let mut replicas = Vec::new();
    for keyspace in [&keyspaces.data, &keyspaces.names] {
        let found = replication(&session, keyspace).await?;
        let copies = found.map(|found| copies_in(&found, &datacenter));
        replicas.push((keyspace.clone(), copies));
    }
    let migrations = schema::list(&session, &keyspaces).await?;
    let has_tables = migrations.iter().any(Migration::is_applied);
    let (home, keeps_timestamps) = match has_tables {
        true => (
            home::stored(&session, &keyspaces).await?,
            Some(keeps_timestamps(&session, &keyspaces).await?),
        ),
        false => (None, None),
    };
    Ok(Survey {
        server: server(&session).await?,
        nodes: nodes_of(&session, &datacenter),
        datacenter,
        home,
        replicas,
        migrations,
        keeps_timestamps,
    })
}

/// The home datacentre: the one asked for, or the only one there is.
///
/// # Errors
/// [`OpenError::Datacenter`] when that is not clear.
pub(crate) fn home_of(session: &Session, asked: Option<&str>) -> Result<String, OpenError> {
    let state = session.get_cluster_state();
    let named = state.get_nodes_info().iter();
    let found: BTreeSet<String> = named.filter_map(|node| node.datacenter.clone()).collect();
    choose(&found, asked)
}

fn choose(found: &BTreeSet<String>, asked: Option<&str>) -> Result<String, OpenError> {
    let refused = || OpenError::Datacenter {
        asked: asked.map(str::to_owned),
        found: found.iter().cloned().collect(),
    };
    match (asked, found.first()) {
        (Some(asked), _) if found.contains(asked) => Ok(asked.to_owned()),
        (None, Some(only)) if found.len() == 1 => Ok(only.clone()),
        _ => Err(refused()),
    }
}

/// Refuses keyspaces whose rows nobody in the home datacentre keeps, and to
/// make keyspaces with more copies than there are nodes.
///
/// # Errors
/// [`OpenError::Replicas`], [`OpenError::Elsewhere`].
pub(crate) async fn check_replicas(
    session: &Session,
    options: &CqlOptions,
    datacenter: &str,
) -> Result<(), OpenError> {
    let keyspaces = Keyspaces::named(&options.keyspace)?;
    for keyspace in [keyspaces.data, keyspaces.names] {
        let nodes = nodes_awaited(session, options, datacenter).await;
        match replication(session, &keyspace).await? {
            Some(found) if copies_in(&found, datacenter) == 0 => {
                return Err(OpenError::Elsewhere {
                    keyspace,
                    datacenter: datacenter.to_owned(),
                });
            }
            None if options.migrate && usize::from(options.replicas) > nodes => {
                return Err(OpenError::Replicas {
                    wanted: options.replicas,
                    nodes,
                    datacenter: datacenter.to_owned(),
                });
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// Nodes of the home datacentre. A cluster that is just starting may not know
/// all of them yet: where as many are named as copies are wanted, it gets a
/// moment.
async fn nodes_awaited(session: &Session, options: &CqlOptions, datacenter: &str) -> usize {
    let wanted = usize::from(options.replicas);
    let patience = if options.nodes.len() < wanted {
        Duration::ZERO
    } else {
        Duration::from_millis(CQL_CONNECT_MS)
    };
    let start = Instant::now();
    loop {
        let (nodes, _) = nodes_of(session, datacenter);
        if nodes >= wanted || start.elapsed() >= patience {
            return nodes;
        }
        tokio::time::sleep(Duration::from_millis(CQL_PROBE_MS)).await;
        if let Err(error) = session.refresh_metadata().await {
            tracing::debug!(%error, "the nodes of the cluster are not known yet");
        }
    }
}

fn nodes_of(session: &Session, datacenter: &str) -> (usize, usize) {
    let state = session.get_cluster_state();
    let nodes = state.get_nodes_info().iter();
    let home = nodes.filter(|node| node.datacenter.as_deref() == Some(datacenter));
    let connected = home.clone().filter(|node| node.is_connected()).count();
    (home.count(), connected)
}

/// How a keyspace is kept, if it is there.
async fn replication(
    session: &Session,
    keyspace: &str,
) -> Result<Option<HashMap<String, String>>, OpenError> {
    let answer = session.query_unpaged(FIND_KEYSPACE, (keyspace,)).await;
    let rows = answer
        .map_err(|error| read_error(&error))?
        .into_rows_result();
    let rows = rows.map_err(damaged)?;
    let row = rows.maybe_first_row::<(String, HashMap<String, String>)>();
    Ok(row.map_err(damaged)?.map(|(_, replication)| replication))
}

/// Copies in a datacentre. A number; ScyllaDB may name racks instead, one
/// entry each: `dc1:0`, `dc1:1`.
fn copies_in(replication: &HashMap<String, String>, datacenter: &str) -> u32 {
    if let Some(copies) = replication.get(datacenter) {
        // Of transient copies Cassandra counts `3/1`.
        let copies = copies.split('/').next().unwrap_or_default();
        return copies.parse().unwrap_or(0);
    }
    let racks = replication.keys().filter(|key| {
        let rest = key.strip_prefix(datacenter);
        rest.is_some_and(|rest| rest.starts_with(':'))
    });
    u32::try_from(racks.count()).unwrap_or(u32::MAX)
}

async fn server(session: &Session) -> Result<String, StoreError> {
    let text = async |cql: &str| text(session, cql).await;
    if text(FIND_VERSIONS_TABLE).await?.is_none() {
        let version = text(FIND_RELEASE).await?.unwrap_or_default();
        return Ok(format!("Apache Cassandra {version}"));
    }
    let version = text(FIND_VERSION).await?.unwrap_or_default();
    Ok(match Flavour::of_scylla(&version) {
        Flavour::Scylla {
            tablets_take_lwt: false,
        } => format!("ScyllaDB {version} (compare-and-set rows without tablets)"),
        Flavour::Scylla { .. } | Flavour::Cassandra => format!("ScyllaDB {version}"),
    })
}

async fn text(session: &Session, cql: &str) -> Result<Option<String>, StoreError> {
    let answer = session.query_unpaged(cql, ()).await;
    let answer = answer.map_err(|error| read_error(&error))?;
    let rows = answer.into_rows_result().map_err(damaged)?;
    let row = rows.maybe_first_row::<(String,)>().map_err(damaged)?;
    Ok(row.map(|(text,)| text))
}

async fn keeps_timestamps(session: &Session, keyspaces: &Keyspaces) -> Result<bool, OpenError> {
    let wrote = Stamp::of_mark(1).micros();
    let write = keyspaces.fill("INSERT INTO {data}.probe (name, value) VALUES ('timestamps', 1)");
    let write = format!("{write} USING TIMESTAMP {wrote}");
    let answer = session.query_unpaged(write, ()).await;
    answer.map_err(|error| super::error::write_error(&error, false))?;
    let read = "SELECT WRITETIME(value) FROM {data}.probe WHERE name = 'timestamps'";
    let answer = session.query_unpaged(keyspaces.fill(read), ()).await;
    let answer = answer.map_err(|error| read_error(&error))?;
    let rows = answer.into_rows_result().map_err(damaged)?;
    let row = rows.maybe_first_row::<(Option<i64>,)>().map_err(damaged)?;
    Ok(row == Some((Some(wrote),)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_datacentre_is_never_guessed() {
        let found = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let home = |names: &[&str], asked| choose(&found(names), asked).ok();
        assert_eq!(home(&["a"], None).as_deref(), Some("a"));
        assert_eq!(home(&["a", "b"], Some("b")).as_deref(), Some("b"));
        assert_eq!(home(&["a", "b"], None), None);
        assert_eq!(home(&["a"], Some("b")), None);
        assert_eq!(home(&[], None), None);
    }

    #[test]
    fn copies_are_counted_as_each_server_says_it() {
        for (said, copies) in [
            (&[("dc1", "3"), ("dc2", "2")][..], 3),
            (&[("dc1", "3/1")], 3),
            (&[("dc2", "3")], 0),
            (
                &[("dc1:0", "rack1"), ("dc1:1", "rack2"), ("dc10:0", "rack1")],
                2,
            ),
            (&[("replication_factor", "3")], 0),
        ] {
            let said = said.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            assert_eq!(copies_in(&said.collect(), "dc1"), copies);
        }
    }
}
