//! Seeded fuzzing of the frame decoder: whatever comes in, it answers; what
//! it accepts has only fields that the wire knows; and the `id` comes back.
//! The seed is fixed, so that a failure is the same for everybody.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

#[path = "fuzz/msgpack.rs"]
mod msgpack;
#[path = "packed/mod.rs"]
mod packed;

use fanfare_protocol::frame::{ClientFrame, FrameId};
use fanfare_protocol::{Code, Refusal};
use serde_json::Value;

const ROOM: &str = "0199f0a2-1111-7000-8000-00000000c0de";
const MESSAGE: &str = "AZnwohERcACAAAAAAADA3gAAAAAAAAADAAAAAAAAACk";

/// Frame types and the fields of their `data`; `cursors` and `device` hold
/// objects of their own.
const FRAMES: [(&str, &[&str]); 15] = [
    ("session:hello", &["token", "ticket", "device", "cursors"]),
    ("session:resume", &["cursors"]),
    ("session:info", &[]),
    ("session:ping", &[]),
    ("session:refresh", &["token"]),
    ("conversations:subscribe", &["cursors"]),
    ("conversations:unsubscribe", &["conversations"]),
    ("conversation:join", &["conversation"]),
    ("conversation:leave", &["conversation"]),
    ("message:send", &["conversation", "text", "replyTo", "type"]),
    ("message:edit", &["message", "text"]),
    ("message:delete", &["message"]),
    ("message:react", &["message", "emoji"]),
    ("message:delivered", &["conversation", "seq"]),
    ("message:read", &["conversation", "seq"]),
];
const CURSOR: &[&str] = &["conversation", "epoch", "seq"];
const DEVICE: &[&str] = &["kind", "name"];

/// Pieces that break decoders.
const PIECES: [&str; 34] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-0",
    "1e999",
    "1e-999",
    "NaN",
    "9007199254740992",
    "18446744073709551616",
    "-1",
    "41.0",
    "\\ud800",
    "\\u0000",
    "\\\"",
    "\\",
    "\"id\":1,",
    "\"id\":\"x\",",
    "\"extra\":1,",
    "\"data\":{}",
    "\"key\":\"k\",",
    "\u{202E}",
    "🦊",
    "\u{0}",
    "\n",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
    "\u{FEFF}",
    "\"type\":\"session:ping\",",
];

/// xorshift64*, Vigna 2016.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() >> 16).unwrap() % end.max(1)
    }
}

fn valid_frames() -> Vec<String> {
    let value = |field: &str| match field {
        "token" | "ticket" | "text" => "\"tex\\u0074 🦊\"".to_owned(),
        "emoji" => "\"👍🏽\"".to_owned(),
        "type" => "\"text\"".to_owned(),
        "seq" => "41".to_owned(),
        "conversation" => format!("\"{ROOM}\""),
        "conversations" => format!("[\"{ROOM}\"]"),
        "message" | "replyTo" => format!("\"{MESSAGE}\""),
        "device" => r#"{"kind":"web","name":"Firefox"}"#.to_owned(),
        "cursors" => format!(r#"[{{"conversation":"{ROOM}","epoch":3,"seq":41}}]"#),
        other => panic!("no value for {other}"),
    };
    FRAMES
        .iter()
        .flat_map(|(kind, fields)| {
            let data: Vec<String> = fields
                .iter()
                .map(|field| format!("\"{field}\":{}", value(field)))
                .collect();
            let data = data.join(",");
            ["7", "-7", "1.25", "\"seven\""]
                .map(|id| format!(r#"{{"id":{id},"type":"{kind}","key":"k","data":{{{data}}}}}"#))
        })
        .collect()
}

/// Panics if an accepted frame holds what the wire does not know, or its
/// `id` was lost. Judged by a second reading of the same bytes.
fn judge(bytes: &[u8]) -> Option<bool> {
    let value = serde_json::from_slice(bytes).unwrap_or_default();
    compare(ClientFrame::from_json(bytes), &value, bytes)
}

fn compare(read: Result<ClientFrame, Refusal>, value: &Value, bytes: &[u8]) -> Option<bool> {
    let frame = match read {
        Ok(frame) => frame,
        Err(refusal) => {
            assert_eq!(refusal.code, Code::InvalidFrame);
            return None;
        }
    };
    let shown = String::from_utf8_lossy(bytes);
    // What the second reader cannot read (lone surrogates, great depth) may
    // have an `id`, but is never accepted.
    let Some(envelope) = value.as_object() else {
        assert!(frame.body.is_err(), "{shown}");
        return Some(false);
    };
    let id = frame
        .id
        .as_ref()
        .map(|id| serde_json::to_value(id).unwrap());
    // Of two ids the first counts here and the last there, and it is refused.
    let two_ids = frame.body.is_err() && shown.matches("id").count() > 1;
    let sent = envelope.get("id").filter(|id| !id.is_null()).cloned();
    assert!(id == sent || two_ids, "{id:?} for {shown}");
    if frame.body.is_err() {
        return Some(false);
    }
    known(envelope, &["id", "type", "data", "key"], &shown);
    let kind = envelope["type"].as_str().unwrap();
    let kind = kind.replace("message:unreact", "message:react");
    let fields = FRAMES.iter().find(|(name, _)| *name == kind).unwrap().1;
    if let Some(data) = envelope.get("data").and_then(Value::as_object) {
        known(data, fields, &shown);
        if let Some(device) = data.get("device").filter(|device| !device.is_null()) {
            known(device.as_object().unwrap(), DEVICE, &shown);
        }
        for cursor in data
            .get("cursors")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            known(cursor.as_object().unwrap(), CURSOR, &shown);
        }
    }
    Some(true)
}

fn known(object: &serde_json::Map<String, Value>, fields: &[&str], shown: &str) {
    for name in object.keys() {
        assert!(
            fields.contains(&name.as_str()),
            "accepted {name} in {shown}"
        );
    }
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = (at + dice.below(12)).min(bytes.len());
    match dice.below(8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        1 => bytes.insert(at, u8::try_from(dice.below(256)).unwrap()),
        2 => drop(bytes.drain(at..end)),
        3 => bytes.truncate(at),
        4 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        5 => {
            let from = dice.below(other.len());
            let to = (from + dice.below(40)).min(other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            let piece = PIECES[dice.below(PIECES.len())];
            bytes.splice(at..at, piece.bytes());
        }
    }
}

#[test]
fn mutated_frames_are_answered() {
    let frames = valid_frames();
    let mut dice = Dice(0x0199_F0A2_FA4F_A4E5);
    let (mut unreadable, mut refused, mut accepted) = (0, 0, 0);
    for round in 0..400_000 {
        let mut bytes = frames[round % frames.len()].clone().into_bytes();
        let other = &frames[dice.below(frames.len())];
        for _ in 0..=dice.below(2) {
            mutate(&mut bytes, other.as_bytes(), &mut dice);
        }
        match judge(&bytes) {
            None => unreadable += 1,
            Some(false) => refused += 1,
            Some(true) => accepted += 1,
        }
    }
    // The mutations must reach all three answers, or they test nothing.
    for count in [unreadable, refused, accepted] {
        assert!(count > 10_000, "{unreadable} {refused} {accepted}");
    }
}

#[test]
fn frames_as_they_should_be_are_accepted() {
    for frame in valid_frames() {
        assert_eq!(judge(frame.as_bytes()), Some(true), "{frame}");
    }
}

/// A field more, in any object of any frame: refused, named, `id` echoed.
#[test]
fn an_unknown_field_is_refused_wherever_it_stands() {
    let mut dice = Dice(7);
    let frames = valid_frames();
    for round in 0..20_000 {
        let frame = &frames[round % frames.len()];
        let name = format!("x{}", dice.below(1000));
        let places: Vec<usize> = frame.match_indices('{').map(|(at, _)| at).collect();
        let at = places[dice.below(places.len())] + 1;
        let value = ["1", "null", "[]", "{}", "\"id\""][dice.below(5)];
        let comma = if frame[at..].starts_with('}') {
            ""
        } else {
            ","
        };
        let more = format!("{}\"{name}\":{value}{comma}{}", &frame[..at], &frame[at..]);
        let read = ClientFrame::from_json(more.as_bytes()).unwrap();
        assert_ne!(read.id, None, "{more}");
        let refusal = read.body.unwrap_err();
        assert_eq!(refusal.code, Code::InvalidRequest, "{more}");
        let named = refusal.details.keys().next().unwrap();
        assert!(named.ends_with(&name), "{named} in {more}");
    }
}

/// Bytes without any shape.
#[test]
fn noise_is_answered() {
    let mut dice = Dice(11);
    for _ in 0..50_000 {
        let length = dice.below(64);
        let noise: Vec<u8> = (0..length)
            .map(|_| u8::try_from(dice.below(256)).unwrap())
            .collect();
        judge(&noise);
        let pieces: String = (0..length / 4)
            .map(|_| PIECES[dice.below(PIECES.len())])
            .collect();
        judge(pieces.as_bytes());
    }
}

/// Any number comes back as the same number.
#[test]
fn float_ids_survive() {
    let mut dice = Dice(13);
    for _ in 0..50_000 {
        let id = f64::from_bits(dice.roll());
        let Ok(text) = serde_json::to_string(&id) else {
            continue;
        };
        let frame = format!(r#"{{"id":{text},"type":"session:ping"}}"#);
        match ClientFrame::from_json(frame.as_bytes()) {
            Ok(frame) => match frame.id {
                Some(FrameId::Float(back)) => assert_eq!(back.to_bits(), id.to_bits(), "{text}"),
                None => assert!(!id.is_finite()),
                other => panic!("{other:?} for {text}"),
            },
            Err(refusal) => {
                assert_eq!(refusal.code, Code::InvalidFrame);
                assert!(id.abs() > 9e15, "{text}");
            }
        }
    }
}
