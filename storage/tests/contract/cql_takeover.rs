//! A program that ends, or stands still, in the middle of migrating: another
//! one takes over, and the first does no harm when it goes on.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fanfare_storage::cql::{Cql, CqlOptions};
use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

use crate::cql::{RUNTIME, options, turn};

const NODE: &str = "FANFARE_TEST_MIGRATE_NODE";
const KEYSPACE: &str = "FANFARE_TEST_MIGRATE_KEYSPACE";
/// The others wait as long as this for one that says nothing.
const LEASE_MS: u64 = 2000;
const PATIENCE: Duration = Duration::from_secs(120);

/// The child: migrates, and says how that ended. Started without a node, as
/// one test of many, it has nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_migrates() {
    let (Ok(node), Ok(keyspace)) = (std::env::var(NODE), std::env::var(KEYSPACE)) else {
        return;
    };
    match Cql::open(&CqlOptions::new(vec![node], keyspace)).await {
        Ok(_) => println!("\nopened"),
        Err(error) => println!("\nrefused: {error}"),
    }
}

fn migrating_child(options: &CqlOptions) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "cql_takeover::child_that_migrates",
            "--nocapture",
        ])
        .env(NODE, &options.nodes[0])
        .env(KEYSPACE, &options.keyspace)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Fence, renewal, and whether the first file is noted.
async fn progress(session: &Session, options: &CqlOptions) -> Option<(i64, i64, bool)> {
    let read = format!(
        "SELECT fence, renewal, checksum FROM {}_names.migrations WHERE scope = 'tables'",
        options.keyspace
    );
    // The table is not there at first.
    let answer = session.query_unpaged(read, ()).await.ok()?;
    let rows = answer.into_rows_result().unwrap();
    let row = rows.maybe_first_row::<(Option<i64>, Option<i64>, Option<String>)>();
    let (fence, renewal, checksum) = row.unwrap()?;
    Some((fence?, renewal?, checksum.is_some()))
}

/// Waits until the child is in the middle: some tables made, more to come.
async fn in_the_middle(session: &Session, options: &CqlOptions) {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "it never began");
        match progress(session, options).await {
            Some((1, 3.., false)) => return,
            Some((_, _, true)) => panic!("it has ended already"),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Three that come now all open; one of them took over.
async fn three_others_open(session: &Session, options: &CqlOptions) {
    let mut others = options.clone();
    others.migration_lease_ms = LEASE_MS;
    let opened = join_all([(); 3].map(|()| Cql::open(&others))).await;
    for store in opened {
        store.unwrap().ports().readiness.ready().unwrap();
    }
    let (fence, _, noted) = progress(session, options).await.unwrap();
    assert!(noted && fence > 1, "fence {fence}");
}

#[test]
fn one_that_is_killed_in_the_middle_is_taken_over() {
    let _turn = turn();
    let Some(options) = options("killed") else {
        return;
    };
    RUNTIME.block_on(async {
        let builder = SessionBuilder::new().known_nodes(&options.nodes);
        let session = builder.build().await.unwrap();
        let mut child = migrating_child(&options);
        in_the_middle(&session, &options).await;
        child.kill().unwrap();
        child.wait().unwrap();
        three_others_open(&session, &options).await;
    });
}

#[test]
fn one_that_stood_still_has_lost_the_lock_and_does_no_harm() {
    let _turn = turn();
    let Some(options) = options("still") else {
        return;
    };
    RUNTIME.block_on(async {
        let builder = SessionBuilder::new().known_nodes(&options.nodes);
        let session = builder.build().await.unwrap();
        let mut child = migrating_child(&options);
        let pid = Pid::from_child(&child);
        in_the_middle(&session, &options).await;
        kill_process(pid, Signal::STOP).unwrap();
        three_others_open(&session, &options).await;
        kill_process(pid, Signal::CONT).unwrap();
        let mut said = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        child.wait().unwrap();
        // Refused with the lock's loss, or with a request that had no answer
        // while it stood still; it never says that it migrated.
        assert!(said.contains("\nrefused: "), "{said}");
        // And everything is as the others left it.
        let without = CqlOptions {
            migrate: false,
            ..options.clone()
        };
        Cql::open(&without).await.unwrap();
    });
}
