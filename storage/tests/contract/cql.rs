//! One CQL server for all cases of a run, and a keyspace of its own for them.
//! `FANFARE_CASSANDRA=host:port` takes a server that runs already.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{LazyLock, OnceLock};

use fanfare_storage::Ports;
use fanfare_storage::cql::{Cql, CqlOptions};
use tokio::runtime::Runtime;

use crate::build::CASE;

/// The driver's tasks live here: a runtime per test would end them with it.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Runs a case on the run's store, or says loudly that it cannot.
pub fn run<F: Future<Output = ()>>(case: impl FnOnce(Ports) -> F) {
    static STORE: OnceLock<Option<Cql>> = OnceLock::new();
    static CASES: AtomicU8 = AtomicU8::new(1);
    let open = || {
        let options = options("cases")?;
        Some(RUNTIME.block_on(Cql::open(&options)).unwrap())
    };
    if let Some(store) = STORE.get_or_init(open) {
        let number = CASES.fetch_add(1, Ordering::Relaxed);
        RUNTIME.block_on(CASE.scope(number, case(store.ports())));
    }
}

/// How to reach the run's server; a keyspace of this run for `purpose`.
pub fn options(purpose: &str) -> Option<CqlOptions> {
    static SERVER: OnceLock<Option<String>> = OnceLock::new();
    let node = SERVER.get_or_init(server).clone()?;
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let keyspace = format!("{purpose}_{}_{}", std::process::id(), since.as_millis());
    Some(CqlOptions::new(vec![node], keyspace))
}

fn server() -> Option<String> {
    if let Ok(node) = std::env::var("FANFARE_CASSANDRA") {
        return Some(node);
    }
    let started = start();
    if let Err(why) = &started {
        // Not by a macro: those are captured.
        let line = format!("\nSKIPPED: the contract of the CQL store: {why}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        assert!(std::env::var_os("CI").is_none(), "{why}");
    }
    started.ok()
}

/// Starts a server that ends with this process: its keeper reads from a pipe
/// that only this process holds open.
fn start() -> Result<String, String> {
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/cassandra");
    let pid = std::process::id();
    let folder = format!("{}/cassandra-{pid}", env!("CARGO_TARGET_TMPDIR"));
    let address = free_address(pid).ok_or("no free loopback address")?;
    let mut keeper = Command::new(tools)
        .args(["hold", &folder, &address])
        .env("CASSANDRA_EPHEMERAL", "1")
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
        let _ = keeper.wait();
        return Err("tools/cassandra could not start a server".into());
    }
    // Its end of the pipe stays open as long as this process lives.
    std::mem::forget(keeper);
    Ok(format!("{address}:9042"))
}

/// An address whose two ports nobody listens on.
fn free_address(seed: u32) -> Option<String> {
    (0..200u32).find_map(|n| {
        let [.., high, low] = seed.wrapping_add(n * 257).to_be_bytes();
        let address = format!("127.77.{high}.{}", low.max(1));
        let free = |port: u16| TcpListener::bind((address.as_str(), port)).is_ok();
        (free(9042) && free(7000)).then_some(address)
    })
}
