//! Messages in pieces (Autobahn 5).

use fanfare_protocol::Limits;

use crate::peer::{BINARY, CONTINUATION, FINAL, PING, PONG, Received, TEXT};
use crate::peer::{close, fragments, frame, text};
use crate::{Case, all, ends, goes, join};

const NO_START: &str = "continuation without a start";
const TWO_AT_ONCE: &str = "new message inside a fragmented one";

fn bye() -> Vec<u8> {
    close(b"\x03\xe8")
}

fn pong(payload: &[u8]) -> Received {
    Received::Pong(payload.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_make_one_message_whatever_comes_between() {
    let payload = b"fragment1fragment2fragment3";
    let mut cases = Vec::new();
    for (opcode, whole) in [
        (TEXT, Received::Text(payload.to_vec())),
        (BINARY, Received::Binary(payload.to_vec())),
    ] {
        for bytes in [1, 9, 26, 27] {
            let pieces = fragments(opcode, payload, bytes);
            let (ping, lone) = (frame(FINAL | PING, b"ping"), frame(FINAL | PONG, b"pong"));
            let mut pinged = Vec::new();
            for piece in &pieces {
                pinged.extend(join(&[piece.clone(), ping.clone(), lone.clone()]));
            }
            // The ping behind the last piece is answered after the message.
            let mut answers = vec![pong(b"ping"); pieces.len() - 1];
            answers.extend([whole.clone(), pong(b"ping")]);
            cases.push(Case::new(
                format!("pieces of {bytes} with pings between"),
                join(&[pinged, bye()]),
                join(&[answers, goes()]),
            ));
            cases.push(Case::new(
                format!("pieces of {bytes}, twice"),
                join(&[pieces.concat(), pieces.concat(), bye()]),
                join(&[vec![whole.clone(); 2], goes()]),
            ));
        }
    }
    let empty = join(&[
        frame(TEXT, b""),
        frame(CONTINUATION, b""),
        frame(FINAL | CONTINUATION, b""),
    ]);
    let middle = join(&[
        frame(TEXT, b""),
        frame(CONTINUATION, b"middle"),
        frame(FINAL | CONTINUATION, b""),
    ]);
    for (what, sent, payload) in [
        ("nothing but empty pieces", empty, &b""[..]),
        ("empty pieces around", middle, b"middle"),
    ] {
        let answer = vec![Received::Text(payload.to_vec())];
        let sent = join(&[sent, bye()]);
        cases.push(Case::new(what, sent, join(&[answer, goes()])));
    }
    all(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_out_of_order_end_the_connection() {
    let whole = vec![Received::Text(b"whole".to_vec())];
    let mut cases = Vec::new();
    for first in [CONTINUATION, FINAL | CONTINUATION] {
        let lone = frame(first, b"non-continuation payload");
        cases.push(Case::new(
            "a continuation of nothing",
            join(&[lone.clone(), text("whole")]),
            ends(1002, NO_START),
        ));
        cases.push(Case::new(
            "a continuation of a message that is whole",
            join(&[text("whole"), lone.clone()]),
            join(&[whole.clone(), ends(1002, NO_START)]),
        ));
        let pieces = fragments(TEXT, b"whole", 2).concat();
        cases.push(Case::new(
            "a continuation of a message that is finished",
            join(&[pieces, lone]),
            join(&[whole.clone(), ends(1002, NO_START)]),
        ));
    }
    for second in [FINAL | TEXT, TEXT, FINAL | BINARY, BINARY] {
        cases.push(Case::new(
            "a second message inside the first",
            join(&[frame(TEXT, b"first"), frame(second, b"second")]),
            ends(1002, TWO_AT_ONCE),
        ));
    }
    all(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_judged_by_what_is_announced() {
    let limits = Limits::default();
    let (frame_max, message_max) = (limits.frame_bytes_max, limits.inbound_message_bytes_max);
    // Only the header: the payload never comes.
    let announced = |first: u8, length: usize| {
        let length = (length as u64).to_be_bytes();
        [&[first, 0xFF], &length[..], &[0; 4]].concat()
    };
    let half = frame(BINARY, &vec![0; frame_max]);
    let quarter = frame(CONTINUATION, &vec![0; message_max - frame_max]);
    let mut empty = frame(TEXT, b"");
    for _ in 0..limits.empty_fragments_max {
        empty.extend(frame(CONTINUATION, b""));
    }
    let echo = crate::echo(limits);
    for (what, sent, code, reason) in [
        (
            "a frame above the limit",
            announced(FINAL | BINARY, frame_max + 1),
            1009,
            "frame is too large",
        ),
        (
            "a frame of 2^62 bytes",
            announced(FINAL | BINARY, 1 << 62),
            1009,
            "frame is too large",
        ),
        (
            "a message above the limit",
            join(&[half, quarter, frame(CONTINUATION, b"x")]),
            1009,
            "message is too large",
        ),
        (
            "empty pieces without end",
            empty,
            1008,
            "too many empty fragments",
        ),
    ] {
        let mut peer = crate::peer::Peer::connect(&echo).await;
        peer.write(&sent).await;
        assert_eq!(peer.rest().await, ends(code, reason), "{what}");
    }
}
