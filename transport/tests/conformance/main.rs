//! The WebSocket as RFC 6455 wants it, byte by byte: what the Autobahn suite
//! asks in its groups 1 to 7, 9 and 10, in seconds and without Python.
//!
//! Everything goes through the accept loop, reader and fan-out shard of the
//! product; only the session behind them is an [`echo`]. Each case is sent in
//! one piece, cut at every place that matters, and byte by byte.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail loudly"
)]

mod close;
mod control;
mod echo;
mod fragments;
mod messages;
mod peer;
mod reserved;
mod utf8;

use std::net::{Ipv4Addr, SocketAddr};

use fanfare_protocol::Limits;

use echo::Echo;
use peer::{Peer, Received};

/// An echo with these limits on a port of its own.
fn echo(limits: Limits) -> Echo {
    Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), limits).unwrap()
}

/// What is written, and everything that must come back, the end included.
struct Case {
    what: String,
    sent: Vec<u8>,
    answers: Vec<Received>,
}

impl Case {
    fn new(what: impl Into<String>, sent: Vec<u8>, answers: Vec<Received>) -> Self {
        let what = what.into();
        Self {
            what,
            sent,
            answers,
        }
    }
}

/// How a case is cut into writes.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Whole,
    Halves,
    Bytes,
}

/// Runs each case on a connection of its own, in each way of cutting it.
async fn all(cases: &[Case]) {
    let echo = echo(Limits::default());
    for case in cases {
        for cut in [Cut::Whole, Cut::Halves, Cut::Bytes] {
            let piece_bytes = match cut {
                Cut::Whole => case.sent.len(),
                Cut::Halves => case.sent.len().div_ceil(2),
                Cut::Bytes => 1,
            };
            let mut peer = Peer::connect(&echo).await;
            for piece in case.sent.chunks(piece_bytes.max(1)) {
                peer.write(piece).await;
            }
            let answers = peer.rest().await;
            assert_eq!(answers, case.answers, "{} ({cut:?})", case.what);
        }
    }
}

/// The end that a fault brings.
fn ends(code: u16, reason: &str) -> Vec<Received> {
    vec![
        Received::Close(Some(code), reason.to_owned()),
        Received::End,
    ]
}

/// The end that an honest close brings.
fn goes() -> Vec<Received> {
    ends(1000, "")
}

/// Bytes and answers one after the other.
fn join<T: Clone>(parts: &[Vec<T>]) -> Vec<T> {
    parts.concat()
}
