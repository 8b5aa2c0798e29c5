//! Broken WebSocket frames (RFC 6455), written by hand: each closes its own connection
//! with the code that says why, and nobody else's.

use crate::harness::raw::{BINARY, CLOSE, CONTINUATION, Frame, PING, Raw, Received, TEXT};
use crate::harness::{Account, Options, Server};

use super::lives;

const PING_FRAME: &str = r#"{"id":1,"type":"session:ping","data":{}}"#;

/// Writes bytes on a fresh session; gives the close code.
async fn code_after(server: &Server, alice: &Account, bytes: &[u8]) -> u16 {
    let mut raw = Raw::hello(server.address(), &alice.access).await;
    raw.write(bytes).await;
    raw.close_code().await
}

/// What is sent, and the code that it must be closed with.
type Case = (&'static str, Vec<u8>, u16);

fn text(payload: &[u8]) -> Frame {
    Frame::new(TEXT, payload)
}

fn close(code: u16) -> Frame {
    Frame::new(CLOSE, code.to_be_bytes())
}

fn then(first: &Frame, second: &Frame) -> Vec<u8> {
    [first.bytes(), second.bytes()].concat()
}

fn wrong_headers() -> Vec<Case> {
    let ping = Frame::new(PING, *b"x");
    let hello = *b"\0\0\0\0hello";
    let lengths = |announced: &[u8]| [&[0x81], announced, &hello].concat();
    let mut cases = vec![
        (
            "unmasked",
            text(PING_FRAME.as_bytes()).unmasked().bytes(),
            1002,
        ),
        ("unmasked ping", ping.clone().unmasked().bytes(), 1002),
        ("fragmented ping", ping.unfinished().bytes(), 1002),
        ("fragmented close", close(1000).unfinished().bytes(), 1002),
        (
            "ping of 126 bytes",
            Frame::new(PING, vec![b'x'; 126]).bytes(),
            1002,
        ),
        (
            "continuation of nothing",
            Frame::new(CONTINUATION, *b"x").bytes(),
            1002,
        ),
        (
            "text within text",
            then(&text(b"{").unfinished(), &text(b"{}")),
            1002,
        ),
        ("16-bit length for 5 bytes", lengths(&[0xfe, 0, 5]), 1002),
        (
            "64-bit length for 5 bytes",
            lengths(&[0xff, 0, 0, 0, 0, 0, 0, 0, 5]),
            1002,
        ),
        (
            "a length with the highest bit",
            lengths(&[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            1002,
        ),
        (
            "the announcement of 2^62 bytes",
            lengths(&[0xff, 0x40, 0, 0, 0, 0, 0, 0, 0]),
            1009,
        ),
    ];
    for bits in [0x10, 0x20, 0x40] {
        cases.push(("a reserved bit", text(b"{}").reserved(bits).bytes(), 1002));
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        cases.push(("an unknown opcode", Frame::new(opcode, *b"x").bytes(), 1002));
    }
    cases
}

fn wrong_payloads() -> Vec<Case> {
    let spaces = |length: usize| vec![b' '; length];
    let more = |length: usize| Frame::new(CONTINUATION, spaces(length));
    let in_three = [
        text(&spaces(100 * 1024)).unfinished().bytes(),
        more(100 * 1024).unfinished().bytes(),
        more(56 * 1024 + 1).bytes(),
    ];
    let cut = text(&[b'"', 0xf0, 0x9f]).unfinished();
    vec![
        (
            "close with one byte",
            Frame::new(CLOSE, *b"x").bytes(),
            1002,
        ),
        ("close with code 1005", close(1005).bytes(), 1002),
        ("close with code 999", close(999).bytes(), 1002),
        (
            "a reason that is not UTF-8",
            Frame::new(CLOSE, [0x03, 0xe8, 0xff, 0xfe]).bytes(),
            1007,
        ),
        ("an honest close", close(1000).bytes(), 1000),
        (
            "text that is not UTF-8",
            text(b"\"\xc3\x28\"").bytes(),
            1007,
        ),
        (
            "a surrogate in UTF-8",
            text(b"\"\xed\xa0\x80\"").bytes(),
            1007,
        ),
        ("overlong UTF-8", text(b"\"\xc0\xaf\"").bytes(), 1007),
        (
            "UTF-8 cut at the end",
            text(b"\"\xf0\x9f\x98").bytes(),
            1007,
        ),
        (
            "UTF-8 broken over fragments",
            then(&cut, &Frame::new(CONTINUATION, *b"xx")),
            1007,
        ),
        (
            "a frame of 128 KiB + 1",
            text(&spaces(128 * 1024 + 1)).bytes(),
            1009,
        ),
        ("a message of 256 KiB + 1", in_three.concat(), 1009),
        (
            "binary on a JSON socket",
            Frame::new(BINARY, PING_FRAME).bytes(),
            1003,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_frames_close_with_the_code_that_says_why() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bystander = alice.connect(&server).await;
    for (what, bytes, expected) in wrong_headers().into_iter().chain(wrong_payloads()) {
        let code = code_after(&server, &alice, &bytes).await;
        assert_eq!(code, expected, "{what}");
    }
    bystander
        .request("session:ping", serde_json::json!({}))
        .await
        .unwrap();
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_fragments_pings_between_and_one_byte_at_a_time_work() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let mut raw = Raw::hello(server.address(), &alice.access).await;
    let (head, tail) = PING_FRAME.split_at(11);
    raw.frame(&Frame::new(TEXT, head).unfinished()).await;
    raw.frame(&Frame::new(PING, *b"between")).await;
    raw.frame(&Frame::new(CONTINUATION, *b"").unfinished())
        .await;
    raw.frame(&Frame::new(CONTINUATION, tail)).await;
    assert_eq!(raw.receive().await, Received::Pong(b"between".to_vec()));
    let Received::Text(reply) = raw.receive().await else {
        panic!("no reply")
    };
    assert_eq!(
        (&reply["re"], reply.get("error")),
        (&serde_json::json!(1), None)
    );
    for byte in Frame::new(TEXT, PING_FRAME).bytes() {
        raw.write(&[byte]).await;
    }
    let Received::Text(reply) = raw.receive().await else {
        panic!("no reply")
    };
    assert_eq!(reply["re"], 1);
    // Ten frames in one write.
    raw.write(&Frame::new(TEXT, PING_FRAME).bytes().repeat(10))
        .await;
    for _ in 0..10 {
        assert!(matches!(raw.receive().await, Received::Text(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_fragments_are_counted() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let mut bytes = Frame::new(TEXT, *b"{").unfinished().bytes();
    bytes.extend(
        Frame::new(CONTINUATION, *b"")
            .unfinished()
            .bytes()
            .repeat(2000),
    );
    let code = code_after(&server, &alice, &bytes).await;
    assert!([1002, 1008, 1009].contains(&code), "{code}");
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_is_not_waited_for_forever() {
    let server = Options::new()
        .limit("inbound_message_ms_max", 500)
        .start()
        .await;
    let alice = Account::register(&server, "alice").await;
    let whole = Frame::new(TEXT, PING_FRAME).bytes();
    for cut in [1, 4, whole.len() - 1] {
        let code = code_after(&server, &alice, &whole[..cut]).await;
        assert!([1002, 1008].contains(&code), "{cut} bytes: {code}");
    }
    let unfinished = Frame::new(TEXT, *b"{").unfinished().bytes();
    let code = code_after(&server, &alice, &unfinished).await;
    assert!(
        [1002, 1008].contains(&code),
        "an unfinished message: {code}"
    );
    // Half a frame and a cut connection.
    let mut raw = Raw::hello(server.address(), &alice.access).await;
    raw.write(&whole[..10]).await;
    drop(raw);
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_never_stops_the_server() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let mut dice = crate::harness::Dice::new(6455);
    for _ in 0..60 {
        let mut raw = Raw::hello(server.address(), &alice.access).await;
        let noise: Vec<u8> = (0..dice.roll(600))
            .map(|_| u8::try_from(dice.roll(256)).unwrap())
            .collect();
        raw.write(&noise).await;
    }
    for _ in 0..60 {
        let mut raw = Raw::hello(server.address(), &alice.access).await;
        let mut frame = Frame::new(TEXT, PING_FRAME).bytes();
        let at = usize::try_from(dice.roll(frame.len() as u64)).unwrap();
        frame[at] ^= 1 << dice.roll(8);
        raw.write(&frame).await;
    }
    lives(&server).await;
}
