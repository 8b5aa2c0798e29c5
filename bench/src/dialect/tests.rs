//! What dialects make of bytes: the same, wherever reads split them, and the
//! fast way reads what the slow way reads.

use proptest::prelude::*;

use super::fanfare::Fanfare;
use super::frame::{Opcode, frame, masked};
use super::plain::{self, Plain};
use super::{Delivery, Dialect, Message, Sink, Who, read_stamp, stamp};

const ROOM: &str = "0199f0a2-1111-7000-8000-00000000c0de";
const ELSEWHERE: &str = "0199f0a2-1111-7000-8000-00000000beef";
const MESSAGE: &str = "AZnwohERcACAAAAAAADA3gAAAAAAAAADAAAAAAAAACk";

/// What was told, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Told {
    ready: usize,
    deliveries: Vec<Delivery>,
    refused: Vec<(u32, u64, String)>,
    others: usize,
    answers: Vec<u8>,
}

impl Sink for Told {
    fn ready(&mut self) {
        assert!(self.deliveries.is_empty());
        self.ready += 1;
    }
    fn delivery(&mut self, delivery: Delivery) {
        self.deliveries.push(delivery);
    }
    fn refused(&mut self, room: u32, number: u64, why: &str) {
        self.refused.push((room, number, why.into()));
    }
    fn other(&mut self) {
        self.others += 1;
    }
    fn answer(&mut self) -> &mut Vec<u8> {
        &mut self.answers
    }
}

fn who() -> Who<'static> {
    Who {
        host: "127.0.0.1:1",
        path: "/ws",
        rooms: &[0],
        token: "t",
    }
}

/// Reads `bytes` in pieces that end at `cuts`, as the engine does.
fn read<D: Dialect>(dialect: &D, bytes: &[u8], cuts: &[usize]) -> Result<Told, String> {
    let mut link = D::Link::default();
    let mut told = Told::default();
    let mut rest = Vec::new();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        rest.extend_from_slice(&bytes[from..cut]);
        from = cut;
        let used = dialect.read(&mut link, &who(), &rest, &mut told)?;
        rest.drain(..used);
    }
    assert!(rest.is_empty(), "{} bytes were left over", rest.len());
    Ok(told)
}

/// A frame as a server sends it.
fn server_frame(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length if length < 65_536 => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

fn message(number: u64, intended_ns: u64, payload_bytes: usize) -> Message {
    Message {
        room: 0,
        number,
        intended_ns,
        payload_bytes,
    }
}

/// An event of a message, byte for byte as the golden tests of the protocol
/// have it; `spaced` makes one that no fast way knows.
fn event(seq: u64, epoch: u64, text: &str, spaced: bool) -> String {
    let space = if spaced { " " } else { "" };
    format!(
        r#"{{{space}"type":"message:received","conversation":"{ROOM}","epoch":{epoch},"seq":{seq},"data":{{"message":{{"id":"{MESSAGE}","conversation":"{ROOM}","seq":{seq},"epoch":{epoch},"rev":{seq},"author":"{ELSEWHERE}","type":"text","text":"{text}","reactions":[],"editCount":0,"sentAt":"2026-11-21T03:16:45.120Z","key":"k"}}}}}}"#
    )
}

fn fanfare(replies: bool) -> Fanfare {
    Fanfare::new(vec![ROOM.into()], "run".into(), replies).unwrap()
}

fn subscribed() -> String {
    format!(
        r#"{{"re":1,"data":{{"session":"s","user":{{"id":"u"}},"minor":0,"subscribed":[{{"conversation":"{ROOM}","epoch":1,"seq":3}}],"resync":[],"gone":[],"later":[]}}}}"#
    )
}

/// A whole conversation with the server: every kind of frame there is.
fn fanfare_stream(spaced: bool) -> Vec<u8> {
    let mut bytes = UPGRADED.to_vec();
    server_frame(0x81, subscribed().as_bytes(), &mut bytes);
    for number in 1..=12_u64 {
        let mut text = Vec::new();
        stamp(
            &message(number, number * 1000, 40 + number as usize * 9),
            &mut text,
        );
        let text = String::from_utf8(text).unwrap();
        let event = event(number * 37, number * 6, &text, spaced);
        if number == 5 {
            let (head, tail) = event.as_bytes().split_at(100);
            server_frame(0x01, head, &mut bytes);
            server_frame(0x89, b"in between", &mut bytes);
            server_frame(0x80, tail, &mut bytes);
        } else {
            server_frame(0x81, event.as_bytes(), &mut bytes);
        }
    }
    server_frame(
        0x81,
        br#"{"type":"unread:update","conversation":"x","data":{"unread":1}}"#,
        &mut bytes,
    );
    let error = br#"{"type":"error","data":{"key":"run/0-13","code":"overloaded","message":"m","retryable":true}}"#;
    server_frame(0x81, error, &mut bytes);
    let error = br#"{"re":"0-14","error":{"code":"forbidden","message":"m","retryable":false}}"#;
    server_frame(0x81, error, &mut bytes);
    server_frame(
        0x81,
        br#"{"re":"0-15","data":{"message":{"text":"hello"}}}"#,
        &mut bytes,
    );
    server_frame(0x89, b"beat", &mut bytes);
    bytes
}

fn plain_stream() -> Vec<u8> {
    let mut bytes = UPGRADED.to_vec();
    server_frame(0x81, br#"{"joined":1}"#, &mut bytes);
    for number in 1..=9 {
        let text = plain::text(&message(number, number * 7, 30 << number));
        server_frame(0x81, &text, &mut bytes);
    }
    server_frame(0x89, b"", &mut bytes);
    bytes
}

#[test]
fn fanfare_is_understood() {
    let told = read(&fanfare(false), &fanfare_stream(false), &[]).unwrap();
    assert_eq!(told.ready, 1);
    assert_eq!(told.deliveries.len(), 12);
    for (number, delivery) in (1..).zip(&told.deliveries) {
        let expected = Delivery {
            room: 0,
            number,
            intended_ns: number * 1000,
            seq: Some(number * 37),
        };
        assert_eq!(*delivery, expected);
    }
    let refused = [
        (0, 13, "overloaded".to_owned()),
        (0, 14, "forbidden".into()),
    ];
    assert_eq!(told.refused, refused);
    // The replies and signals; events of messages are none of them.
    assert_eq!(told.others, 5);
}

#[test]
fn both_ways_to_read_an_event_agree() {
    let fast = read(&fanfare(false), &fanfare_stream(false), &[]).unwrap();
    let slow = read(&fanfare(false), &fanfare_stream(true), &[]).unwrap();
    assert_eq!(fast, slow);
}

#[test]
fn events_in_their_usual_bytes_go_the_fast_way() {
    let mut text = Vec::new();
    stamp(&message(3, 4, 200), &mut text);
    let text = String::from_utf8(text).unwrap();
    let fanfare = fanfare(false);
    for (seq, epoch) in [(1, 1), (99, 12), (123_456, 1), ((1 << 53) - 1, 1_000_000)] {
        let usual = event(seq, epoch, &text, false);
        assert!(fanfare.delivery(usual.as_bytes()).is_some(), "{usual}");
    }
}

#[test]
fn rooms_that_hello_left_out_are_subscribed() {
    let fanfare = Fanfare::new(vec![ROOM.into(), ELSEWHERE.into()], "run".into(), false).unwrap();
    let who = Who {
        rooms: &[0, 1],
        ..who()
    };
    let mut bytes = UPGRADED.to_vec();
    server_frame(0x81, subscribed().as_bytes(), &mut bytes);
    let (mut link, mut told) = (Default::default(), Told::default());
    fanfare.read(&mut link, &who, &bytes, &mut told).unwrap();
    assert_eq!(told.ready, 0);
    let asked = String::from_utf8_lossy(&told.answers).into_owned();
    assert!(
        asked.contains(&format!(r#"[{{"conversation":"{ELSEWHERE}"}}]"#)),
        "{asked}"
    );
    let mut bytes = Vec::new();
    let reply = format!(
        r#"{{"re":2,"data":{{"subscribed":[{{"conversation":"{ELSEWHERE}","epoch":1,"seq":1}}],"resync":[],"gone":[],"later":[]}}}}"#
    );
    server_frame(0x81, reply.as_bytes(), &mut bytes);
    fanfare.read(&mut link, &who, &bytes, &mut told).unwrap();
    assert_eq!(told.ready, 1);
}

#[test]
fn a_send_carries_its_stamp_and_its_key() {
    for replies in [false, true] {
        let mut out = Vec::new();
        let fanfare = fanfare(replies);
        fanfare.publish(
            &mut Default::default(),
            &who(),
            &message(7, 99, 200),
            &mut out,
        );
        let frame = &out[8..];
        let sent: serde_json::Value = serde_json::from_slice(frame).unwrap();
        assert_eq!(sent["key"], "run/0-7");
        assert_eq!(sent.get("id").is_some(), replies);
        let text = sent["data"]["text"].as_str().unwrap();
        assert_eq!(text.len(), 200);
        assert_eq!(read_stamp(text.as_bytes()), Some((7, 99)));
    }
}

#[test]
fn what_ends_a_connection_is_told() {
    let mut refused = b"HTTP/1.1 503 Service Unavailable\r\n".to_vec();
    refused.extend_from_slice(b"content-length: 0\r\n\r\n");
    assert!(read(&Plain, &refused, &[]).unwrap_err().contains("503"));
    let mut closed = plain_stream();
    server_frame(0x88, b"\x0f\xa0slow reader", &mut closed);
    let why = read(&Plain, &closed, &[]).unwrap_err();
    assert!(why.contains("4000 slow reader"), "{why}");
    let mut masked_by_server = UPGRADED.to_vec();
    masked(Opcode::Text, b"{}", &mut masked_by_server);
    assert!(read(&Plain, &masked_by_server, &[]).is_err());
    let mut large = UPGRADED.to_vec();
    large.extend_from_slice(&[0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert!(read(&Plain, &large, &[]).unwrap_err().contains("bytes"));
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let mut answer = Vec::new();
    masked(Opcode::Pong, b"beat", &mut answer);
    let told = read(&fanfare(false), &fanfare_stream(false), &[]).unwrap();
    assert!(told.answers.ends_with(&answer));
}

proptest! {
    #[test]
    fn splits_do_not_matter_to_fanfare(mut cuts in proptest::collection::vec(0..9000_usize, 0..40)) {
        let bytes = fanfare_stream(false);
        cuts.iter_mut().for_each(|cut| *cut %= bytes.len());
        cuts.sort_unstable();
        let dialect = fanfare(false);
        prop_assert_eq!(read(&dialect, &bytes, &cuts), read(&dialect, &bytes, &[]));
    }

    #[test]
    fn splits_do_not_matter_to_plain(mut cuts in proptest::collection::vec(0..40_000_usize, 0..60)) {
        let bytes = plain_stream();
        cuts.iter_mut().for_each(|cut| *cut %= bytes.len());
        cuts.sort_unstable();
        prop_assert_eq!(read(&Plain, &bytes, &cuts), read(&Plain, &bytes, &[]));
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut all = UPGRADED.to_vec();
        all.extend_from_slice(&bytes);
        let (mut link, mut told) = (Default::default(), Told::default());
        let _ = Plain.read(&mut link, &who(), &all, &mut told);
        let (mut link, mut told) = (Default::default(), Told::default());
        let _ = fanfare(false).read(&mut link, &who(), &all, &mut told);
        let _ = frame(&bytes);
    }

    #[test]
    fn stamps_come_back(number: u64, intended_ns: u64, payload_bytes in 0..300_usize) {
        let mut text = Vec::new();
        stamp(&message(number, intended_ns, payload_bytes), &mut text);
        prop_assert_eq!(text.len(), payload_bytes.max(32));
        prop_assert_eq!(read_stamp(&text), Some((number, intended_ns)));
        let text = plain::text(&message(number, intended_ns, payload_bytes));
        let delivery = plain::delivery(&text);
        prop_assert_eq!(delivery.map(|d| (d.number, d.intended_ns)), Some((number, intended_ns)));
    }
}
