//! The same for MessagePack, and that both codecs read the same.

use fanfare_protocol::Codec;
use fanfare_protocol::frame::ClientFrame;
use serde_json::Value;

use super::packed::packed;
use super::{Dice, compare, mutate, valid_frames};

/// Bytes that break decoders of MessagePack.
const PIECES: [&[u8]; 16] = [
    b"\x80",
    b"\x90",
    b"\xa0",
    b"\xc0",
    b"\xc1",
    b"\xc4\x01x",
    b"\xc7\x00\x05",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xdb\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xa2id\x07",
    b"\xa5extra\xc0",
    b"\x91\x91\x91\x91\x91\x91\x91\x91",
];

fn judge(bytes: &[u8]) -> Option<bool> {
    // Of a value and bytes behind it the second reader reads the value.
    let mut second = rmp_serde::Deserializer::from_read_ref(bytes);
    let value: Value = serde::Deserialize::deserialize(&mut second).unwrap_or_default();
    compare(
        ClientFrame::decode(Codec::MessagePack, bytes),
        &value,
        bytes,
    )
}

#[test]
fn mutated_frames_are_answered() {
    let frames: Vec<Vec<u8>> = valid_frames().iter().map(|it| packed(it)).collect();
    for frame in &frames {
        assert_eq!(judge(frame), Some(true), "{frame:?}");
    }
    let mut dice = Dice(0x0199_F0A2_FA4F_A4E6);
    let (mut unreadable, mut refused, mut accepted) = (0, 0, 0);
    for round in 0..400_000 {
        let mut bytes = frames[round % frames.len()].clone();
        let other = &frames[dice.below(frames.len())];
        for _ in 0..=dice.below(2) {
            // Lengths are part of the bytes: most of what changes them breaks
            // everything behind, so that half of the time they stay.
            let at = dice.below(bytes.len());
            match dice.below(4) {
                0 => {
                    let piece = PIECES[dice.below(PIECES.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                1 => mutate(&mut bytes, other, &mut dice),
                _ if at < bytes.len() => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
                _ => {}
            }
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
fn noise_is_answered() {
    let mut dice = Dice(17);
    for _ in 0..100_000 {
        let length = dice.below(64);
        let noise: Vec<u8> = (0..length)
            .map(|_| u8::try_from(dice.below(256)).unwrap())
            .collect();
        judge(&noise);
    }
}

/// Whatever a JSON text says, it says the same as MessagePack.
#[test]
fn both_codecs_read_the_same() {
    let frames = valid_frames();
    let mut dice = Dice(19);
    let (mut refused, mut accepted) = (0, 0);
    for round in 0..200_000 {
        let mut bytes = frames[round % frames.len()].clone().into_bytes();
        let other = &frames[dice.below(frames.len())];
        mutate(&mut bytes, other.as_bytes(), &mut dice);
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        if serde_json::from_str::<Value>(&text).is_err() {
            continue;
        }
        let json = ClientFrame::from_json(text.as_bytes());
        let msgpack = ClientFrame::decode(Codec::MessagePack, &packed(&text));
        match (json, msgpack) {
            (Ok(json), Ok(msgpack)) => {
                assert_eq!((&json.id, &json.key), (&msgpack.id, &msgpack.key), "{text}");
                let is_read = json.body.is_ok();
                assert_eq!(json.body.ok(), msgpack.body.ok(), "{text}");
                if is_read { accepted += 1 } else { refused += 1 }
            }
            (Err(json), Err(msgpack)) => assert_eq!(json.code, msgpack.code, "{text}"),
            (json, msgpack) => panic!("{json:?} but {msgpack:?} for {text}"),
        }
    }
    for count in [refused, accepted] {
        assert!(count > 10_000, "{refused} {accepted}");
    }
}
