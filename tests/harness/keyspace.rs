//! Keyspaces of a run of tests, on a CQL server that they share or on servers of their
//! own. `FANFARE_CASSANDRA=host:port` takes one that runs already for what needs only
//! one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::cassandra::Cassandra;

/// A keyspace of this run on some nodes.
#[derive(Debug, Clone)]
pub struct Keyspace {
    /// `host:port` of the nodes.
    pub nodes: Vec<String>,
    pub name: String,
    pub replicas: usize,
}

impl Keyspace {
    /// A fresh one on the server that all tests of the run share; `None`, said loudly,
    /// where there can be no server. In CI that is a failure.
    pub fn shared() -> Option<Self> {
        static NODE: OnceLock<Option<String>> = OnceLock::new();
        let node = NODE.get_or_init(|| {
            if let Ok(node) = std::env::var("FANFARE_CASSANDRA") {
                return Some(node);
            }
            let started = Cassandra::of(1, "people over the CQL store")?;
            let node = started.nodes().remove(0);
            started.stay();
            Some(node)
        });
        Some(Self::fresh(vec![node.clone()?]))
    }

    /// A fresh one, three copies at most.
    pub fn fresh(nodes: Vec<String>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        let (pid, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self {
            replicas: nodes.len().min(3),
            name: format!("t{}_{pid}_{next}", since.as_millis()),
            nodes,
        }
    }

    /// The flags that make a server use it.
    pub fn flags(&self) -> Vec<String> {
        let pairs = [
            ("--store", "cql".to_owned()),
            ("--cql-nodes", self.nodes.join(",")),
            ("--cql-keyspace", self.name.clone()),
            ("--cql-replicas", self.replicas.to_string()),
        ];
        let words = pairs.into_iter();
        words
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect()
    }
}
