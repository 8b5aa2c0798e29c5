//! Reserved bits and opcodes, masks and lengths (Autobahn 3 and 4).

use crate::peer::{BINARY, CLOSE, CONTINUATION, FINAL, PING, PONG, Received, TEXT};
use crate::peer::{close, frame, text};
use crate::{Case, all, ends, join};

/// Behind an honest message, and as the first thing there is.
fn alone_and_behind(what: &str, sent: &[u8], reason: &str) -> [Case; 2] {
    let hello = Received::Text(b"hello".to_vec());
    let ended = ends(1002, reason);
    [
        Case::new(what, sent.to_vec(), ended.clone()),
        Case::new(
            format!("{what}, behind a message"),
            join(&[text("hello"), sent.to_vec(), text("too late")]),
            join(&[vec![hello], ended]),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_bits_end_the_connection() {
    let mut cases = Vec::new();
    for bits in 1..=7 {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            let payload: &[u8] = if opcode == CLOSE { b"\x03\xe8" } else { b"x" };
            let sent = frame(FINAL | (bits << 4) | opcode, payload);
            let what = format!("bits {bits:03b} on opcode {opcode:#x}");
            cases.extend(alone_and_behind(&what, &sent, "reserved bit set"));
        }
    }
    all(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_opcodes_end_the_connection() {
    let mut cases = Vec::new();
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        for payload in [&b""[..], b"some"] {
            let sent = frame(FINAL | opcode, payload);
            let what = format!("opcode {opcode:#x} with {payload:?}");
            cases.extend(alone_and_behind(&what, &sent, "reserved opcode"));
        }
    }
    all(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_and_lengths_are_as_the_rfc_wants_them() {
    let unmasked = |first: u8| vec![first, 4, b's', b'o', b'm', b'e'];
    // What the mask, all zeros, leaves as it is.
    let long = |lengths: &[u8]| [&[FINAL | TEXT], lengths, b"\0\0\0\0some"].concat();
    let mut cases = Vec::new();
    for opcode in [TEXT, BINARY, PING, CLOSE] {
        let sent = unmasked(FINAL | opcode);
        cases.extend(alone_and_behind(
            "a frame without mask",
            &sent,
            "client frame is not masked",
        ));
    }
    for lengths in [
        &[0xFE, 0, 4][..],
        &[0xFE, 0, 125],
        &[0xFF, 0, 0, 0, 0, 0, 0, 0, 4],
        &[0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
        &[0xFF, 0x80, 0, 0, 0, 0, 0, 0, 4],
    ] {
        cases.extend(alone_and_behind(
            "a length in a longer form",
            &long(lengths),
            "length is not in its shortest form",
        ));
    }
    cases.extend(alone_and_behind(
        "a fragmented ping",
        &join(&[frame(PING, b"frag"), frame(FINAL | CONTINUATION, b"ment")]),
        "control frame is fragmented",
    ));
    cases.extend(alone_and_behind(
        "a fragmented close",
        &join(&[frame(CLOSE, b"\x03"), frame(FINAL | CONTINUATION, b"\xe8")]),
        "control frame is fragmented",
    ));
    cases.extend(alone_and_behind(
        "a close of 126 bytes",
        &close(&[b"\x03\xe8", &[b'*'; 124][..]].concat()),
        "control frame is longer than 125 bytes",
    ));
    all(&cases).await;
}
