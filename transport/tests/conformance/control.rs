//! Pings and pongs (Autobahn 2), floods of them, and what never ends.

use std::time::Duration;

use fanfare_protocol::Limits;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::peer::{CONTINUATION, FINAL, PATIENCE, PING, PONG, Peer, Received, TEXT};
use crate::peer::{close, frame, text};
use crate::{Case, all, echo, ends, goes, join};

const TOO_LONG: &str = "control frame is longer than 125 bytes";

fn pongs(payloads: &[&[u8]]) -> Vec<Received> {
    let payloads = payloads.iter();
    payloads
        .map(|payload| Received::Pong(payload.to_vec()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_and_pongs_are_not() {
    let bye = close(b"\x03\xe8");
    let binary: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";
    let long = [0xFE; 125];
    let ping = |payload: &[u8]| frame(FINAL | PING, payload);
    let pong = |payload: &[u8]| frame(FINAL | PONG, payload);
    let mut cases = vec![
        Case::new(
            "an unasked pong",
            join(&[pong(b""), pong(b"x"), bye.clone()]),
            goes(),
        ),
        Case::new(
            "a pong, then a ping",
            join(&[pong(b"x"), ping(b"y"), bye.clone()]),
            join(&[pongs(&[b"y"]), goes()]),
        ),
        Case::new(
            "a ping of 126 bytes",
            ping(&[0xFE; 126]),
            ends(1002, TOO_LONG),
        ),
    ];
    for payload in [b"", &b"Hello, world!"[..], binary, &long] {
        cases.push(Case::new(
            format!("a ping with {payload:?}"),
            join(&[ping(payload), bye.clone()]),
            join(&[pongs(&[payload]), goes()]),
        ));
    }
    let ten: Vec<String> = (0..10).map(|at| format!("payload-{at}")).collect();
    let ten: Vec<&[u8]> = ten.iter().map(|payload| payload.as_bytes()).collect();
    let sent: Vec<u8> = ten.iter().flat_map(|payload| ping(payload)).collect();
    cases.push(Case::new(
        "ten pings",
        join(&[sent, bye]),
        join(&[pongs(&ten), goes()]),
    ));
    all(&cases).await;
}

/// Twenty megabytes of answers that nobody reads: the server stops reading,
/// and forgets none of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_pings_makes_the_server_wait_not_grow() {
    const PINGS: u32 = 160_000;
    const STILL: Duration = Duration::from_millis(300);
    let echo = echo(Limits {
        slow_reader_ms_max: PATIENCE.as_millis() as u64,
        ..Limits::default()
    });
    let peer = Peer::connect(&echo).await;
    let payload = |at: u32| {
        let mut payload = [0; 125];
        payload[..4].copy_from_slice(&at.to_be_bytes());
        payload
    };
    let flood: Vec<u8> = (0..PINGS)
        .flat_map(|at| frame(FINAL | PING, &payload(at)))
        .collect();
    // Until nothing more is taken: buffers are full on both ways.
    let mut written = 0;
    while timeout(STILL, peer.to.writable()).await.is_ok() {
        let took = peer.to.try_write(&flood[written..]);
        written += took.unwrap_or_default();
        assert!(written < flood.len(), "all was read although nobody reads");
    }
    let mut other = Peer::connect(&echo).await;
    other.write(&text("served")).await;
    assert_eq!(other.receive().await, Received::Text(b"served".to_vec()));

    let Peer { mut inbox, mut to } = peer;
    // Keeps the writing half: without it the client would be gone.
    let writer = tokio::spawn(async move { to.write_all(&flood[written..]).await.map(|()| to) });
    for at in 0..PINGS {
        let expected = Received::Pong(payload(at).to_vec());
        assert_eq!(inbox.receive().await, expected, "pong {at}");
    }
    assert!(writer.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_begun_must_be_finished_in_time() {
    let echo = echo(Limits {
        inbound_message_ms_max: 300,
        ..Limits::default()
    });
    let unfinished = frame(TEXT, b"{");
    let pinged = [&unfinished[..], &frame(FINAL | PING, b"p")].concat();
    let continued = [&unfinished[..], &frame(CONTINUATION, b"")].concat();
    let whole = text("hello");
    for (what, sent, pongs) in [
        ("one byte", &whole[..1], 0),
        ("half a mask", &whole[..4], 0),
        ("half a payload", &whole[..8], 0),
        ("a message without its end", &unfinished, 0),
        ("a ping does not finish it", &pinged, 1),
        ("nor does an empty fragment", &continued, 0),
    ] {
        let mut peer = Peer::connect(&echo).await;
        peer.write(sent).await;
        let mut expected = vec![Received::Pong(b"p".to_vec()); pongs];
        expected.extend(ends(1008, "message not finished in time"));
        assert_eq!(peer.rest().await, expected, "{what}");
    }
    // And honest ones go on.
    let mut peer = Peer::connect(&echo).await;
    peer.write(&whole).await;
    assert_eq!(peer.receive().await, Received::Text(b"hello".to_vec()));
}
