//! No file descriptor left: the server waits, bears it, and comes back. Clients
//! alone cannot bring that about.

use std::time::{Duration, Instant};

use crate::harness::raw::Raw;
use crate::harness::{Options, SOON, Server, eventually};

use super::{Others, counted};

const FAILURES: &str = "cannot accept connections";

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_nobody_new_is_let_in_and_nothing_spins() {
    let server = Server::start().await;
    let others = Others::on(&server).await;
    let process = server.process();
    let usual = process.descriptors_max();
    process.limit_descriptors(process.descriptors() + 30);

    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(Raw::connect(server.address()).await);
    }
    server.says(FAILURES).await;
    // Three log lines of the pause that has become longest: seconds in which a loop
    // without it would have burnt as many of CPU time.
    let (start, cpu, lines) = (Instant::now(), process.cpu(), complaints(&server));
    eventually("it goes on waiting", SOON, async || {
        (complaints(&server) >= lines + 3).then_some(())
    })
    .await;
    others.go_on().await;
    let (took, spent) = (start.elapsed(), process.cpu() - cpu);
    println!("without descriptors: {spent:?} of CPU in {took:?}");
    assert!(
        took > Duration::from_secs(2),
        "{took:?} for three lines a second apart"
    );
    assert!(spent * 4 < took, "{spent:?} of CPU in {took:?}");

    // Who waits in the backlog is served as soon as others go.
    let mut waiting = Raw::connect(server.address()).await;
    drop(held);
    let head = waiting
        .request("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    others.are_served().await;
    counted(&server, "fanfare_accept_failures_total", |count| {
        count >= 3.0
    })
    .await;
    process.limit_descriptors(usual);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_leave_descriptors_to_the_store() {
    const DESCRIPTORS: usize = 300;
    let server = Options::new().descriptors_max(300).start().await;
    let others = Others::on(&server).await;
    let mut held = Vec::new();
    for _ in 0..DESCRIPTORS {
        held.push(Raw::connect(server.address()).await);
    }
    let mut raw = Raw::connect(server.address()).await;
    let head = raw.request("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    others.go_on().await;
    let open = server.process().descriptors();
    assert!(open < DESCRIPTORS * 3 / 4, "{open} of {DESCRIPTORS}");
    assert_eq!(complaints(&server), 0);
    drop(held);
    others.are_served().await;
}

fn complaints(server: &Server) -> usize {
    server.log().matches(FAILURES).count()
}
