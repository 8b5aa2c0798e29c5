//! Real CQL servers: Apache Cassandra from `tools/cassandra`, one JVM a node, on free
//! loopback addresses, stopped by pid when this process or the value ends. Each JVM
//! takes about a gigabyte. The storage contract starts its server by this file too.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
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

impl Cassandra {
    /// A cluster of `count` nodes of its own for `purpose`; gives `None`, said loudly,
    /// where there can be none. In CI that is a failure.
    pub fn of(count: usize, purpose: &str) -> Option<Self> {
        let started = Self::start(count);
        if let Err(why) = &started {
            // Not by a macro: those are captured.
            let line = format!("\nSKIPPED: {purpose}: {why}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            assert!(std::env::var_os("CI").is_none(), "{why}");
        }
        started.ok()
    }

    /// Leaves the nodes running until this process ends, however it ends: then its end
    /// of the keeper's pipe closes.
    pub fn stay(self) {
        std::mem::forget(self);
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

    fn start(count: usize) -> Result<Self, String> {
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
