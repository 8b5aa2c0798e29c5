//! One CQL server for all cases of a run, and a keyspace of its own for them.
//! `FANFARE_CASSANDRA=host:port` takes a server that runs already, and
//! `FANFARE_CASSANDRA_PID` lets a case stop it for a while.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{LazyLock, OnceLock};

use fanfare_storage::Ports;
use fanfare_storage::cql::{Cql, CqlOptions};
use parking_lot::{RwLock, RwLockReadGuard};
use rustix::process::Pid;
use tokio::runtime::Runtime;

use crate::build::{CASE, say};

/// The driver's tasks live here: a runtime per test would end them with it.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Cases run side by side; one that stops the server has it to itself.
static TURNS: RwLock<()> = RwLock::new(());

/// The server of this run.
#[derive(Clone)]
struct Server {
    node: String,
    /// Where it is known, and ours to stop.
    pid: Option<Pid>,
}

/// The run's store, and how it was opened.
struct Run {
    store: Cql,
    options: CqlOptions,
}

/// Runs a case on the run's store, or says loudly that it cannot.
pub fn run<F: Future<Output = ()>>(case: impl FnOnce(Ports) -> F) {
    run_beside(|ports, _| case(ports));
}

/// The same for a case that looks at what the store wrote, or opens it again.
pub fn run_beside<F: Future<Output = ()>>(case: impl FnOnce(Ports, CqlOptions) -> F) {
    static CASES: AtomicU8 = AtomicU8::new(1);
    let _turn = turn();
    if let Some(run) = the_run() {
        let number = CASES.fetch_add(1, Ordering::Relaxed);
        let case = case(run.store.ports(), run.options.clone());
        RUNTIME.block_on(CASE.scope(number, case));
    }
}

/// Runs a case that stops the server: alone, and where that is allowed.
pub fn run_alone<F: Future<Output = ()>>(case: impl FnOnce(Ports, Pid) -> F) {
    let _alone = TURNS.write();
    let Some(run) = the_run() else { return };
    match the_server().and_then(|server| server.pid) {
        Some(pid) => RUNTIME.block_on(CASE.scope(0, case(run.store.ports(), pid))),
        None => say("SKIPPED: a stopped CQL server: FANFARE_CASSANDRA_PID is not set"),
    }
}

/// Held by whoever uses the server beside others.
pub fn turn() -> RwLockReadGuard<'static, ()> {
    TURNS.read()
}

fn the_run() -> Option<&'static Run> {
    static RUN: OnceLock<Option<Run>> = OnceLock::new();
    let open = || {
        let options = options("cases")?;
        let store = RUNTIME.block_on(Cql::open(&options)).unwrap();
        Some(Run { store, options })
    };
    RUN.get_or_init(open).as_ref()
}

/// How to reach the run's server; a keyspace of this run for `purpose`.
pub fn options(purpose: &str) -> Option<CqlOptions> {
    let node = the_server()?.node;
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let keyspace = format!("{purpose}_{}_{}", std::process::id(), since.as_millis());
    Some(CqlOptions::new(vec![node], keyspace))
}

fn the_server() -> Option<Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(server).clone()
}

fn server() -> Option<Server> {
    if let Ok(node) = std::env::var("FANFARE_CASSANDRA") {
        let pid = std::env::var("FANFARE_CASSANDRA_PID").ok();
        let pid = pid.and_then(|pid| Pid::from_raw(pid.parse().unwrap()));
        return Some(Server { node, pid });
    }
    let started = start();
    if let Err(why) = &started {
        say(&format!("SKIPPED: the contract of the CQL store: {why}"));
        assert!(std::env::var_os("CI").is_none(), "{why}");
    }
    started.ok()
}

/// Starts a server that ends with this process: its keeper reads from a pipe
/// that only this process holds open.
fn start() -> Result<Server, String> {
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
    let status = Command::new(tools).args(["status", &folder]).output();
    let status = status.map_err(|error| format!("tools/cassandra: {error}"))?;
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    // "127.77.0.1 pid 4711 ready"
    let pid = status.split_whitespace().nth(2);
    let pid = pid.and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    Ok(Server {
        node: format!("{address}:9042"),
        pid,
    })
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
