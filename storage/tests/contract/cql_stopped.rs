//! A CQL server that stands still (SIGSTOP): everything is answered in time
//! with what is known of it, and goes on when the server does.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfare_engine::effect::Set;
use fanfare_engine::port::{Claim, ClaimRow, Scope, StoreError};
use fanfare_protocol::Timestamp;
use fanfare_storage::Ports;
use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};

use crate::build::{all_rows, conversation, effects, row};
use crate::cql::run_alone;

/// What a caller waits at most for an answer about a write.
const ANSWER_MS: u128 = 5000;
/// What a test waits at most until something is so.
const PATIENCE: Duration = Duration::from_secs(60);

/// Goes on with the server, however the test ends.
struct Stopped(Pid);

impl Stopped {
    /// Ends when every thread stands still: the signal only asks for it.
    async fn now(pid: Pid) -> Self {
        kill_process(pid, Signal::STOP).unwrap();
        let stopped = Self(pid);
        until("stopped", || stands_still(pid)).await;
        stopped
    }
}

fn stands_still(pid: Pid) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())).unwrap();
    threads.flatten().all(|thread| {
        // The name in brackets may hold anything; the state follows it. A thread
        // that ended meanwhile has none.
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
        state.is_none_or(|state| state.starts_with('T'))
    })
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// One of each kind of write, at once; what came of each, and how soon.
async fn write_of_each_kind(ports: &Ports, seq: u64) -> Vec<(&'static str, Outcome, u128)> {
    let room = conversation(7);
    let timed = |what, write: std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>>| async move {
        let start = Instant::now();
        let outcome = write.await;
        (what, outcome, start.elapsed().as_millis())
    };
    let (log, names) = (ports.log.clone(), ports.names.clone());
    let append = async move { log.append(1, [row(room, seq, 1)].into()).await };
    let log = ports.log.clone();
    let state = Set::State {
        target: 1,
        state: Bytes::from(format!("edited {seq}")),
    };
    let apply = async move { log.apply(effects(room, 1, vec![(seq, state)])).await };
    let claim = Claim {
        scope: Scope::Username,
        name: format!("stopped {seq}"),
        row: ClaimRow {
            owner: [1; 16],
            intent: Bytes::new(),
            expires_at: None,
        },
    };
    let claim = async move { names.claim(claim, Timestamp(0)).await.map(drop) };
    join_all([
        timed("append", Box::pin(append)),
        timed("apply", Box::pin(apply)),
        timed("claim", Box::pin(claim)),
    ])
    .await
}

type Outcome = Result<(), StoreError>;

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_server_that_stands_still_is_waited_for_no_longer_than_it_may() {
    run_alone(async |ports: Ports, pid| {
        let room = conversation(7);
        ports.log.append(1, [row(room, 1, 1)].into()).await.unwrap();
        let mut acknowledged = vec![1];
        let stopped = Stopped::now(pid).await;
        // Three rounds: into open connections, and into those that were given up.
        for seq in 2..=4 {
            let mut unknown = 0;
            for (what, outcome, took_ms) in write_of_each_kind(&ports, seq).await {
                assert!(took_ms < ANSWER_MS, "{what} {seq}: {took_ms} ms");
                match outcome {
                    Err(StoreError::OutcomeUnknown(_)) => unknown += 1,
                    Err(StoreError::Unavailable(_)) => {}
                    other => panic!("{what} {seq}: {other:?}"),
                }
            }
            assert!(
                unknown > 0 || seq > 2,
                "what was sent may have been written"
            );
            let read = ports.log.head(room).await;
            assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        }
        until("unready", || ports.readiness.ready().is_err()).await;
        drop(stopped);
        until("ready", || ports.readiness.ready().is_ok()).await;
        // Verbatim repeats settle what was unknown, in any order.
        for seq in (2..=4).rev() {
            for (what, outcome, _) in write_of_each_kind(&ports, seq).await {
                outcome.unwrap_or_else(|error| panic!("{what} {seq}: {error}"));
            }
            acknowledged.push(seq);
        }
        acknowledged.sort_unstable();
        let stored = all_rows(&*ports.log, room).await;
        let seqs: Vec<u64> = stored.iter().map(|row| row.seq).collect();
        assert_eq!(seqs, acknowledged);
        assert_eq!(stored[0].state, "edited 4");
        for seq in 2..=4 {
            let name = format!("stopped {seq}");
            let found = ports.names.claimed(Scope::Username, name).await.unwrap();
            assert_eq!(found.map(|row| row.owner), Some([1; 16]));
        }
    });
}
