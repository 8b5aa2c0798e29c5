//! One CQL server for all cases of a run, and a keyspace of its own for them.
//! `FANFARE_CASSANDRA=host:port` takes a server that runs already, and
//! `FANFARE_CASSANDRA_PID` lets a case stop it for a while.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{LazyLock, OnceLock};

use fanfare_storage::Ports;
use fanfare_storage::cql::{Cql, CqlOptions};
use parking_lot::{RwLock, RwLockReadGuard};
use rustix::process::Pid;
use tokio::runtime::Runtime;

use crate::build::{CASE, say};
use cassandra::Cassandra;

#[path = "../../../tests/harness/cassandra.rs"]
#[expect(
    dead_code,
    reason = "the system tests stop, kill and start theirs again"
)]
mod cassandra;

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
    let started = Cassandra::of(1, "the contract of the CQL store")?;
    let server = Server {
        node: started.nodes().remove(0),
        pid: Pid::from_raw(started.pid(0).cast_signed()),
    };
    started.stay();
    Some(server)
}
