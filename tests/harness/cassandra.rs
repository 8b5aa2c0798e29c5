//! Real CQL servers: Apache Cassandra from `tools/cassandra`, one JVM a node, on free
//! loopback addresses, stopped by pid when this process or the value ends. Each JVM
//! takes about a gigabyte. `FANFARE_CASSANDRA=host:port` takes a server that runs
//! already for what needs only one.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/cassandra");
const PORT: u16 = 9042;

/// A cluster.
pub struct Cassandra {
    folder: PathBuf,
    addresses: Vec<String>,
    /// Reads from a pipe that only this process holds open, so that it stops the
    /// nodes however this process ends.
    keeper: Child,
}

/// A keyspace of this run on some nodes.
#[derive(Debug, Clone)]
pub struct Keyspace {
    /// `host:port` of the nodes.
    pub nodes: Vec<String>,
    pub name: String,
    pub replicas: usize,
    /// What its servers want before they answer.
    pub guarded: Option<Guarded>,
}

/// How servers are spoken to that want TLS and a log-in.
#[derive(Debug, Clone)]
pub struct Guarded {
    /// PEM file of who signed their certificates.
    pub ca: PathBuf,
    pub user: &'static str,
    pub password: &'static str,
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
            let started = or_skipped(Cassandra::start(1, false))?;
            let node = started.nodes().remove(0);
            // Its end of the pipe stays open as long as this process lives.
            std::mem::forget(started);
            Some(node)
        });
        Some(Self::fresh(vec![node.clone()?]))
    }

    fn fresh(nodes: Vec<String>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        let (pid, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self {
            replicas: nodes.len().min(3),
            name: format!("t{}_{pid}_{next}", since.as_millis()),
            nodes,
            guarded: None,
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
        let mut pairs = Vec::from(pairs);
        if let Some(guarded) = &self.guarded {
            pairs.push(("--cql-ca", guarded.ca.display().to_string()));
            pairs.push(("--cql-user", guarded.user.to_owned()));
        }
        let words = pairs.into_iter();
        words
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect()
    }

    /// The variables that go with the flags.
    pub fn variables(&self) -> Vec<(&'static str, &'static str)> {
        let guarded = self.guarded.iter();
        guarded
            .map(|guarded| ("FANFARE_CQL_PASSWORD", guarded.password))
            .collect()
    }
}

impl Cassandra {
    /// A cluster of `count` nodes of its own; gives `None`, said loudly, where there
    /// can be none.
    pub fn of(count: usize) -> Option<Self> {
        or_skipped(Self::start(count, false))
    }

    /// One node that speaks TLS only, and only with those who log in.
    pub fn guarded() -> Option<Self> {
        or_skipped(Self::start(1, true))
    }

    /// A fresh keyspace on all of its nodes, three copies at most.
    pub fn keyspace(&self) -> Keyspace {
        let ca = self.folder.join("tls/ca.pem");
        Keyspace {
            guarded: ca.exists().then_some(Guarded {
                ca,
                user: "cassandra",
                password: "cassandra",
            }),
            ..Keyspace::fresh(self.nodes())
        }
    }

    /// `host:port` of each node.
    pub fn nodes(&self) -> Vec<String> {
        let nodes = self.addresses.iter();
        nodes.map(|address| format!("{address}:{PORT}")).collect()
    }

    /// Whether a node takes connections; one that is stopped does too.
    pub fn answers(&self, node: usize) -> bool {
        TcpStream::connect((self.addresses[node].as_str(), PORT)).is_ok()
    }

    /// The process of a node, from 0.
    pub fn pid(&self, node: usize) -> u32 {
        let path = self.folder.join(&self.addresses[node]).join("pid");
        std::fs::read_to_string(path)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    /// Sends a signal to a node: `-KILL`, `-STOP`, `-CONT`.
    pub fn signal(&self, node: usize, signal: &str) {
        let pid = self.pid(node).to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success(), "kill {signal} {pid}");
    }

    /// Starts the nodes that do not run, and waits until they are ready.
    pub fn start_again(&self) {
        self.tool("start", &self.addresses);
    }

    fn tool(&self, what: &str, addresses: &[String]) {
        let tool = Command::new(TOOL)
            .env("CASSANDRA_SYNC", sync_of(addresses))
            .arg(what)
            .arg(&self.folder)
            .args(addresses)
            .stdout(Stdio::null())
            .status();
        assert!(tool.unwrap().success(), "tools/cassandra {what}");
    }

    fn start(count: usize, guarded: bool) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let (pid, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cql-{pid}-{next}"));
        let addresses = free_addresses(pid + 31 * next, count).ok_or("no free loopback address")?;
        let mut keeper = Command::new(TOOL)
            .arg("hold")
            .arg(&folder)
            .args(&addresses)
            .env("CASSANDRA_EPHEMERAL", "1")
            .env("CASSANDRA_SYNC", sync_of(&addresses))
            .envs(
                guarded
                    .then_some([("CASSANDRA_TLS", "1"), ("CASSANDRA_LOGIN", "1")])
                    .into_iter()
                    .flatten(),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("tools/cassandra: {error}"))?;
        let said = keeper.stdout.take().ok_or("no output")?;
        let ready = BufReader::new(said)
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "holding");
        if !ready {
            keeper.wait().ok();
            return Err("tools/cassandra could not start a server".into());
        }
        Ok(Self {
            folder,
            addresses,
            keeper,
        })
    }
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

/// What a node of several acknowledged outlives its kill -9: by default it forgets the
/// last tenth of a second, and two of three nodes perhaps the same.
fn sync_of(addresses: &[String]) -> &'static str {
    match addresses.len() {
        1 => "periodic",
        _ => "batch",
    }
}

fn or_skipped<T>(started: Result<T, String>) -> Option<T> {
    if let Err(why) = &started {
        // Not by a macro: those are captured.
        let line = format!("\nSKIPPED: people over the CQL store: {why}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        assert!(std::env::var_os("CI").is_none(), "{why}");
    }
    started.ok()
}

/// Addresses next to each other whose two ports nobody listens on.
fn free_addresses(seed: u32, count: usize) -> Option<Vec<String>> {
    (0..200u32).find_map(|n| {
        let [.., high, low] = seed.wrapping_add(n * 257).to_be_bytes();
        let low = usize::from(low.clamp(1, 250));
        let addresses = (low..low + count).map(|low| format!("127.78.{high}.{low}"));
        let addresses: Vec<String> = addresses.collect();
        let free = |address: &String| {
            let port = |port: u16| TcpListener::bind((address.as_str(), port)).is_ok();
            port(PORT) && port(7000)
        };
        addresses.iter().all(free).then_some(addresses)
    })
}
