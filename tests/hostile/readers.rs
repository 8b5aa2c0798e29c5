//! Clients that ask and never read what they are told.

use std::net::Ipv4Addr;

use crate::harness::account::seq_of;
use crate::harness::raw::{Frame, Raw, TEXT};
use crate::harness::{Account, Options};

use super::{Others, SHORT_MS, STILL, counted};

const STALLED: &str = "fanfare_http_stalled_total";
const SLOW: &str = "fanfare_closes_total{code=\"4000\"}";
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

#[tokio::test(flavor = "multi_thread")]
async fn responses_that_nobody_reads_are_given_up() {
    let server = Options::new()
        .limit("response_stalled_ms_max", SHORT_MS)
        .start()
        .await;
    let others = Others::on(&server).await;
    for _ in 0..20 {
        others.alice.say(&others.group, &"x".repeat(16 << 10)).await;
    }
    let mut raws = Vec::new();
    for _ in 0..10 {
        let mut raw = Raw::connect_from(server.address(), STRANGER).await.unwrap();
        // Each is answered by 320 KiB, more than any buffer takes of a hundred.
        let request = format!(
            "GET /api/v1/conversations/{}/messages?limit=20 HTTP/1.1\r\nHost: x\r\n\
             Authorization: Bearer {}\r\n\r\n",
            others.group, others.alice.access
        );
        raw.write(request.repeat(100).as_bytes()).await;
        raws.push(raw);
    }
    others.are_served().await;
    counted(&server, STALLED, |count| count == 10.0).await;
    // The socket of the others, and the question itself.
    counted(&server, "fanfare_connections_open", |open| open <= 2.0).await;
    others.are_served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_nobody_reads_are_closed_and_hold_nobody_up() {
    let server = Options::new()
        .limit("slow_reader_ms_max", SHORT_MS)
        .start()
        .await;
    let others = Others::on(&server).await;
    let bob = Account::register(&server, "bob").await;
    let group = others.alice.group(&[&bob]).await;
    let listener = others.alice.connect(&server).await;
    let mut deaf = Vec::new();
    for _ in 0..10 {
        let raw = Raw::connect_from(server.address(), STRANGER).await.unwrap();
        let raw = raw.upgraded(server.address()).await;
        deaf.push(raw.greeted(&bob.access).await);
    }
    let text = "x".repeat(16 << 10);
    while server.metric(SLOW).await < 10.0 {
        let said = listener.say(&group, &text).await.unwrap();
        // Whoever reads has it although ten do not.
        listener.reaches(&group, seq_of(&said)).await;
    }
    counted(&server, "fanfare_sockets", |sockets| sockets == 2.0).await;
    others.are_served().await;
}

/// Commands without end, whose replies are never read: at some point nothing more is
/// taken, then the socket is closed.
#[tokio::test(flavor = "multi_thread")]
async fn commands_whose_replies_nobody_reads_are_not_taken_forever() {
    const BYTES_MAX: usize = 64 << 20;
    let server = Options::new()
        .limit("slow_reader_ms_max", 3 * SHORT_MS)
        .start()
        .await;
    let others = Others::on(&server).await;
    let bob = Account::register(&server, "bob").await;
    let raw = Raw::connect_from(server.address(), STRANGER).await.unwrap();
    let raw = raw.upgraded(server.address()).await;
    let mut raw = raw.greeted(&bob.access).await;
    let frame = Frame::new(TEXT, r#"{"id":1,"type":"session:ping","data":{}}"#);
    let took = raw.fill(&frame.bytes(), STILL, BYTES_MAX).await;
    // `None`: it was closed before it stood still, which is as good.
    assert!(took.is_none_or(|took| took < BYTES_MAX), "{took:?}");
    others.are_served().await;
    counted(&server, SLOW, |count| count == 1.0).await;
    others.are_served().await;
}
