//! Too many connections: of one address, in all, and ten thousand that say nothing.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::harness::raw::Raw;
use crate::harness::{Options, Process, Server, eventually, heavy};

use super::{Others, SOON, counted};

const OPEN: &str = "fanfare_connections_open";
const GET: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

fn stranger(at: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 6, at)
}

async fn from(server: &Server, at: u8) -> Raw {
    let raw = Raw::connect_from(server.address(), stranger(at)).await;
    raw.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_takes_no_more_than_its_share() {
    let server = Options::new()
        .limit("connections_per_address_max", 20)
        .start()
        .await;
    let others = Others::on(&server).await;
    let mut held = Vec::new();
    for at in 0..20 {
        let raw = from(&server, 1).await;
        // Sockets count as well.
        held.push(if at % 2 == 0 {
            raw.upgraded(server.address()).await
        } else {
            raw
        });
    }
    counted(&server, OPEN, |open| open >= 22.0).await;
    for _ in 0..50 {
        let mut raw = from(&server, 1).await;
        raw.write(GET.as_bytes()).await;
        assert_eq!(raw.end().await, "", "closed at once, without a word");
    }
    let refused = "fanfare_connections_refused_total{limit=\"address\"}";
    counted(&server, refused, |count| count >= 50.0).await;
    others.are_served().await;
    let head = from(&server, 2).await.request(GET).await;
    assert!(head.starts_with("HTTP/1.1 200"), "a neighbour: {head}");
    // One goes, one comes.
    held.pop();
    eventually("the place is free", SOON, async || {
        let head = from(&server, 1).await.request(GET).await;
        head.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_places_are_taken_the_answer_is_503() {
    let server = Options::new().limit("connections_max", 40).start().await;
    let others = Others::on(&server).await;
    let mut held = Vec::new();
    let refused = loop {
        let mut raw = from(&server, 3).await;
        // Who has a place is answered; one that is full says so by itself.
        let head = raw.request(GET).await;
        match head.starts_with("HTTP/1.1 200") {
            true => held.push(raw),
            false => break head,
        }
        assert!(held.len() < 40, "all of forty, beside the others' one");
    };
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(
        refused.to_lowercase().contains("retry-after: 1\r\n"),
        "{refused}"
    );
    assert_eq!(held.len(), 39);
    others.go_on().await;
    drop(held);
    eventually("there is room again", SOON, async || {
        let head = from(&server, 4).await.request(GET).await;
        head.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
    others.are_served().await;
}

/// As many connections as this machine allows, at most ten thousand, from a hundred
/// addresses: most never say a byte, some are sockets that never say hello.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_that_say_nothing_are_borne_and_then_sent_away() {
    const CROWD: usize = 10_000;
    const AT_ONCE: usize = 64;
    /// What others need at the same time.
    const RESERVE: usize = 2000;
    let turn = heavy().await;
    let allowed = Process::own().descriptors_max();
    let crowd = CROWD.min(allowed.saturating_sub(RESERVE));
    if crowd < CROWD {
        println!("SKIPPED: {CROWD} silent sockets: {allowed} descriptors allow {crowd}");
    }
    let server = Options::new()
        .limit("header_ms_max", 20_000)
        .limit("hello_ms_max", 20_000)
        .start()
        .await;
    let others = Others::on(&server).await;
    let (before, cpu) = (server.process().resident_kib(), server.process().cpu());
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..crowd {
        let (turns, address) = (Arc::clone(&turns), server.address());
        tasks.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let source = stranger(u8::try_from(100 + at % 100).unwrap());
            let raw = Raw::connect_from(address, source).await.unwrap();
            match at % 10 {
                0 => raw.upgraded(address).await,
                _ => raw,
            }
        });
    }
    let held = tasks.join_all().await;
    counted(&server, OPEN, |open| open >= crowd as f64).await;
    others.are_served().await;
    let process = server.process();
    let each_kib = process.resident_kib().saturating_sub(before) as f64 / crowd as f64;
    let each_us = (process.cpu() - cpu).as_micros() / crowd as u128;
    println!("{crowd} silent sockets: {each_kib:.1} KiB and {each_us} µs each");
    assert!(each_kib < 40.0, "{each_kib} KiB for a silent connection");
    drop(turn);
    // Their time is over: the server ends them, the clients only hold on.
    counted(&server, OPEN, |open| open <= 2.0).await;
    drop(held);
    others.are_served().await;
}
