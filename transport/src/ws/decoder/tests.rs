//! Each rule of the reader, any chunking, and hostile bytes.

use proptest::prelude::*;

use super::*;

const LIMITS: DecoderLimits = DecoderLimits {
    frame_bytes_max: 1 << 17,
    message_bytes_max: 1 << 18,
    empty_fragments_max: 3,
};
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const FIN: u8 = 0x80;

/// What came out, owned so that it can be compared.
#[derive(Debug, Clone, PartialEq)]
enum Out {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<(u16, String)>),
    Fault(u16),
}

impl From<Result<Incoming<'_>, Fault>> for Out {
    fn from(item: Result<Incoming<'_>, Fault>) -> Self {
        match item {
            Ok(Incoming::Text(text)) => Self::Text(text.into_owned()),
            Ok(Incoming::Binary(bytes)) => Self::Binary(bytes.into_owned()),
            Ok(Incoming::Ping(bytes)) => Self::Ping(bytes.into_owned()),
            Ok(Incoming::Pong) => Self::Pong,
            Ok(Incoming::Close(reason)) => {
                Self::Close(reason.map(|reason| (reason.code, reason.reason)))
            }
            Err(fault) => Self::Fault(fault.close_code),
        }
    }
}

fn text(text: &str) -> Out {
    Out::Text(text.to_owned())
}

/// A masked frame; `first` holds FIN, reserved bits and opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    let start = out.len();
    out.extend(payload);
    unmask(&mut out[start..], MASK, 0);
    out
}

fn decode(bytes: &[u8]) -> Vec<Out> {
    decode_chunks([bytes])
}

fn decode_chunks<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Out> {
    let mut decoder = Decoder::new(LIMITS);
    let now = Instant::now();
    let mut out = Vec::new();
    for chunk in chunks {
        let mut chunk = chunk.to_vec();
        out.extend(decoder.feed(&mut chunk, now).map(Out::from));
    }
    out
}

/// Frames in, messages or the one fault out; whole and byte by byte alike.
#[track_caller]
fn check(what: &str, frames: &[Vec<u8>], expected: &[Out]) {
    let bytes = frames.concat();
    assert_eq!(decode(&bytes), expected, "{what}");
    assert_eq!(decode_chunks(bytes.chunks(1)), expected, "{what}, bytewise");
}

#[test]
fn whole_messages() {
    check(
        "text",
        &[frame(FIN | 1, "grüß".as_bytes())],
        &[text("grüß")],
    );
    check("empty text", &[frame(FIN | 1, b"")], &[text("")]);
    check(
        "binary",
        &[frame(FIN | 2, &[0, 255])],
        &[Out::Binary(vec![0, 255])],
    );
    check(
        "ping",
        &[frame(FIN | 9, b"hi")],
        &[Out::Ping(b"hi".to_vec())],
    );
    check("pong", &[frame(FIN | 10, &[1; 125])], &[Out::Pong]);
    let long = "x".repeat(70_000);
    check("long", &[frame(FIN | 1, long.as_bytes())], &[text(&long)]);
    let many = [
        frame(FIN | 1, b"a"),
        frame(FIN | 9, b""),
        frame(FIN | 1, b"b"),
    ];
    check("many", &many, &[text("a"), Out::Ping(vec![]), text("b")]);
}

#[test]
fn the_rfc_example() {
    // RFC 6455 §5.7: a single-frame masked text message
    let bytes = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(decode(&bytes), [text("Hello")]);
}

#[test]
fn fragments() {
    let ping = Out::Ping(vec![7]);
    let frames = [
        frame(1, b"Hel"),
        frame(FIN | 9, &[7]),
        frame(0, b"lo "),
        frame(FIN | 10, b""),
        frame(FIN, b"you"),
    ];
    check(
        "with controls between",
        &frames,
        &[ping, Out::Pong, text("Hello you")],
    );
    let frames = [frame(2, &[1]), frame(FIN, &[2])];
    check("binary", &frames, &[Out::Binary(vec![1, 2])]);
    let frames = [frame(1, b"a"), frame(0, b""), frame(FIN, b"")];
    check("empty ones within the limit", &frames, &[text("a")]);
    let frames = [frame(1, b""), frame(FIN, b""), frame(FIN | 1, b"b")];
    check("empty start", &frames, &[text(""), text("b")]);
    let frames = [frame(1, b"a"), frame(FIN | 8, b"")];
    check("close inside", &frames, &[Out::Close(None)]);
    let frames = [frame(FIN, b"a")];
    check("continuation without a start", &frames, &[Out::Fault(1002)]);
    let frames = [frame(FIN | 1, b"a"), frame(0, b"b")];
    check(
        "continuation after the end",
        &frames,
        &[text("a"), Out::Fault(1002)],
    );
    for opcode in [1, 2] {
        let frames = [frame(1, b"a"), frame(FIN | opcode, b"b")];
        check("start inside", &frames, &[Out::Fault(1002)]);
    }
}

#[test]
fn empty_fragments_are_counted_per_message() {
    let mut frames = vec![frame(1, b"a")];
    for _ in 0..3 {
        frames.push(frame(0, b""));
    }
    frames.push(frame(FIN, b"b"));
    let message = frames.concat();
    assert_eq!(decode(&message.repeat(2)), [text("ab"), text("ab")]);
    frames.insert(1, frame(0, b""));
    check("one too many", &frames, &[Out::Fault(1008)]);
    let frames = vec![frame(1, b""); 1];
    let endless = [frames, vec![frame(0, b""); 3]].concat();
    check("from the start", &endless, &[Out::Fault(1008)]);
}

#[test]
fn headers_that_are_refused() {
    let masked = |head: &[u8]| [head, &MASK, &[0; 200]].concat();
    let table: [(&str, Vec<u8>, u16); 19] = [
        (
            "unmasked",
            vec![FIN | 1, 5, b'H', b'e', b'l', b'l', b'o'],
            1002,
        ),
        ("unmasked empty", vec![FIN | 1, 0], 1002),
        ("rsv1", frame(FIN | 0x40 | 1, b""), 1002),
        ("rsv2", frame(FIN | 0x20 | 1, b""), 1002),
        ("rsv3", frame(FIN | 0x10 | 9, b""), 1002),
        ("opcode 3", frame(FIN | 3, b""), 1002),
        ("opcode 7", frame(FIN | 7, b""), 1002),
        ("opcode 11", frame(FIN | 11, b""), 1002),
        ("opcode 15", frame(FIN | 15, b""), 1002),
        ("ping in pieces", frame(9, b""), 1002),
        ("close in pieces", frame(8, b""), 1002),
        ("long ping", frame(FIN | 9, &[0; 126]), 1002),
        ("long close", frame(FIN | 8, &[3; 126]), 1002),
        (
            "125 in two bytes",
            masked(&[FIN | 1, 0x80 | 126, 0, 125]),
            1002,
        ),
        ("0 in two bytes", masked(&[FIN | 1, 0x80 | 126, 0, 0]), 1002),
        (
            "125 in eight",
            masked(&[FIN | 1, 0xFF, 0, 0, 0, 0, 0, 0, 0, 125]),
            1002,
        ),
        (
            "65535 in eight",
            masked(&[FIN | 1, 0xFF, 0, 0, 0, 0, 0, 0, 255, 255]),
            1002,
        ),
        (
            "top bit of eight",
            masked(&[FIN | 1, 0xFF, 128, 0, 0, 0, 0, 1, 0, 0]),
            1002,
        ),
        (
            "2^62",
            masked(&[FIN | 1, 0xFF, 64, 0, 0, 0, 0, 0, 0, 0]),
            1009,
        ),
    ];
    for (what, bytes, close_code) in table {
        check(what, &[bytes], &[Out::Fault(close_code)]);
    }
}

#[test]
fn sizes_are_judged_before_the_payload_arrives() {
    let full = vec![b'x'; LIMITS.frame_bytes_max];
    let out = decode(&frame(FIN | 2, &full));
    assert_eq!(out, [Out::Binary(full.clone())]);
    let over = vec![b'x'; LIMITS.frame_bytes_max + 1];
    let head = &frame(FIN | 2, &over)[..14];
    assert_eq!(decode(head), [Out::Fault(1009)], "frame");

    let halves = [frame(1, &full), frame(FIN, &full)].concat();
    assert_eq!(
        decode(&halves),
        [text(&"x".repeat(LIMITS.message_bytes_max))]
    );
    let more = [
        frame(1, &full),
        frame(0, &full),
        frame(FIN, b"x")[..6].to_vec(),
    ]
    .concat();
    assert_eq!(decode(&more), [Out::Fault(1009)], "message");
}

#[test]
fn close_frames() {
    let close = |payload: &[u8]| vec![frame(FIN | 8, payload)];
    check("bare", &close(b""), &[Out::Close(None)]);
    let with = |code: u16, reason: &str| [&code.to_be_bytes(), reason.as_bytes()].concat();
    for code in [1000, 1003, 1007, 1014, 3000, 4999] {
        let expected = Out::Close(Some((code, "tschüß".to_owned())));
        check("valid", &close(&with(code, "tschüß")), &[expected]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
        check("code", &close(&with(code, "")), &[Out::Fault(1002)]);
    }
    check("half a code", &close(&[3]), &[Out::Fault(1002)]);
    check("reason", &close(&[3, 232, 0xFF]), &[Out::Fault(1007)]);
    let after = [frame(FIN | 8, b""), frame(FIN | 1, b"a"), vec![0xFF; 20]];
    check("what follows is ignored", &after, &[Out::Close(None)]);
}

#[test]
fn text_is_checked_across_every_cut() {
    let sample = "κόσμε \u{10FFFF}€𝄞é\0";
    for cut in 0..=sample.len() {
        let (left, right) = sample.as_bytes().split_at(cut);
        let frames = [frame(1, left), frame(FIN, right)];
        check("valid", &frames, &[text(sample)]);
    }
    let broken: [&[u8]; 9] = [
        &[0x80],
        &[0xC0, 0xAF],
        &[0xED, 0xA0, 0x80],
        &[0xF4, 0x90, 0x80, 0x80],
        &[0xF8, 0x88],
        &[0xE2, 0x82],
        &[0xF0, 0x9D, 0x84],
        &[b'a', 0xFF, b'b'],
        &[0xE2, 0x82, b'x'],
    ];
    for bytes in broken {
        check("whole", &[frame(FIN | 1, bytes)], &[Out::Fault(1007)]);
        for cut in 0..=bytes.len() {
            let (left, right) = bytes.split_at(cut);
            check(
                "cut",
                &[frame(1, left), frame(FIN, right)],
                &[Out::Fault(1007)],
            );
        }
    }
    // Bytes outside text are free.
    check(
        "binary",
        &[frame(FIN | 2, &[0xFF])],
        &[Out::Binary(vec![0xFF])],
    );
}

#[test]
fn bad_text_fails_at_its_first_impossible_byte() {
    let mut stream = frame(FIN | 1, b"valid \xF4\x90 and much more to come");
    stream.truncate(6 + 8);
    assert_eq!(decode(&stream[..13]), [], "F4 may still become valid");
    assert_eq!(decode(&stream), [Out::Fault(1007)]);
}

#[test]
fn nothing_is_held_between_messages_nor_after_the_end() {
    let mut decoder = Decoder::new(LIMITS);
    let now = Instant::now();
    let feed = |decoder: &mut Decoder, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        decoder
            .feed(&mut bytes, now)
            .map(Out::from)
            .collect::<Vec<_>>()
    };
    let message = frame(FIN | 1, &[b'x'; 100_000]);
    assert_eq!(feed(&mut decoder, &message[..50_000]), []);
    let held = decoder.held_bytes();
    assert!(
        (49_000..=50_000).contains(&held),
        "{held} held, not the announced size"
    );
    assert_eq!(feed(&mut decoder, &message[50_000..]).len(), 1);
    assert_eq!(decoder.held_bytes(), 0);
    assert_eq!(feed(&mut decoder, &frame(FIN | 9, &[1; 125])[..50]), []);
    assert!(decoder.held_bytes() > 0);
    assert_eq!(
        feed(&mut decoder, &[0; 500]),
        [Out::Ping(decoded_tail()), Out::Fault(1002)]
    );
    assert_eq!(decoder.held_bytes(), 0);
    assert!(decoder.is_over());
    assert_eq!(feed(&mut decoder, &frame(FIN | 1, b"a")), []);
}

/// 44 bytes of the ping above, then zeroes as they look unmasked.
fn decoded_tail() -> Vec<u8> {
    (0..125)
        .map(|at| if at < 44 { 1 } else { MASK[at % 4] })
        .collect()
}

#[test]
fn the_wait_for_an_end_is_dated() {
    let start = Instant::now();
    let at = |ms: u64| start + std::time::Duration::from_millis(ms);
    let mut decoder = Decoder::new(LIMITS);
    let mut feed = |bytes: &[u8], ms: u64| {
        let mut bytes = bytes.to_vec();
        let count = decoder.feed(&mut bytes, at(ms)).count();
        (count, decoder.partial_since())
    };
    let [first, last, ping] = [frame(1, b"ab"), frame(FIN, b"c"), frame(FIN | 9, b"1234")];
    assert_eq!(feed(&ping, 0), (1, None));
    assert_eq!(feed(&first[..1], 10), (0, Some(at(10))), "half a header");
    assert_eq!(
        feed(&first[1..], 20),
        (0, Some(at(10))),
        "between fragments"
    );
    assert_eq!(feed(&ping, 30), (1, Some(at(10))), "a ping does not help");
    assert_eq!(
        feed(&[&last[..], &first].concat(), 40),
        (1, Some(at(40))),
        "the next one"
    );
    assert_eq!(feed(&last, 50), (1, None));
    assert_eq!(feed(&ping[..8], 60), (0, Some(at(60))));
    let next = [&ping[8..], &ping[..3]].concat();
    assert_eq!(
        feed(&next, 70),
        (1, Some(at(70))),
        "each lone ping has its own time"
    );
}

#[test]
fn the_rest_can_be_read_later() {
    let mut bytes = [frame(FIN | 1, b"a"), frame(FIN | 1, b"b")].concat();
    let mut decoder = Decoder::new(LIMITS);
    let now = Instant::now();
    let mut frames = decoder.feed(&mut bytes, now);
    assert_eq!(frames.next().map(Out::from), Some(text("a")));
    let mut saved = frames.into_rest().to_vec();
    assert_eq!(saved, frame(FIN | 1, b"b"));
    let out: Vec<_> = decoder.feed(&mut saved, now).map(Out::from).collect();
    assert_eq!(out, [text("b")]);
}

/// A message as its fragments' sizes, with pings between them.
fn message() -> impl Strategy<Value = (Vec<u8>, Out)> {
    let cuts = prop::collection::vec((1usize..40, any::<bool>()), 0..6);
    (any::<bool>(), "\\PC{0,60}", cuts).prop_map(|(is_text, content, cuts)| {
        let mut bytes = Vec::new();
        let mut rest = content.as_bytes();
        let mut opcode = if is_text { 1 } else { 2 };
        for (cut, with_pong) in cuts {
            if cut < rest.len() {
                let (fragment, behind) = rest.split_at(cut);
                bytes.extend(frame(opcode, fragment));
                (rest, opcode) = (behind, 0);
                if with_pong {
                    bytes.extend(frame(FIN | 9, &[9; 3]));
                }
            }
        }
        bytes.extend(frame(FIN | opcode, rest));
        let out = if is_text {
            Out::Text(content)
        } else {
            Out::Binary(content.into_bytes())
        };
        (bytes, out)
    })
}

fn cut_at<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    let mut rest = bytes;
    for size in sizes.iter().cycle().take(bytes.len() + 1) {
        let (chunk, behind) = rest.split_at((*size).min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

proptest! {
    #[test]
    fn chunking_changes_nothing(
        messages in prop::collection::vec(message(), 1..8),
        sizes in prop::collection::vec(1usize..50, 1..20),
    ) {
        let bytes = messages.iter().flat_map(|(bytes, _)| bytes.clone()).collect::<Vec<_>>();
        let mut out = decode_chunks(cut_at(&bytes, &sizes));
        out.retain(|item| !matches!(item, Out::Ping(_)));
        let expected: Vec<_> = messages.into_iter().map(|(_, out)| out).collect();
        prop_assert_eq!(out, expected);
    }

    /// Valid streams with a few bytes changed: the same outcome however cut.
    #[test]
    fn mutated_streams_are_judged_alike(
        messages in prop::collection::vec(message(), 1..6),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        sizes in prop::collection::vec(1usize..30, 1..20),
    ) {
        let mut bytes = messages.iter().flat_map(|(bytes, _)| bytes.clone()).collect::<Vec<_>>();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = decode_chunks(bytes.chunks(usize::MAX));
        let cut = decode_chunks(cut_at(&bytes, &sizes));
        prop_assert_eq!(whole, cut);
    }

    /// Frames in any order with noise between them, under narrow limits.
    #[test]
    fn noise_neither_panics_nor_piles_up(
        pieces in prop::collection::vec(prop_oneof![
            8 => (0u8..3, any::<bool>(), prop::collection::vec(any::<u8>(), 0..200))
                .prop_map(|(opcode, fin, payload)| frame(if fin { FIN } else { 0 } | opcode, &payload)),
            2 => Just(frame(FIN | 9, &[5; 99])),
            1 => prop::collection::vec(any::<u8>(), 1..100),
        ], 0..20),
        sizes in prop::collection::vec(1usize..300, 1..20),
    ) {
        let limits = DecoderLimits { frame_bytes_max: 190, message_bytes_max: 500, empty_fragments_max: 2 };
        let mut decoder = Decoder::new(limits);
        for chunk in cut_at(&pieces.concat(), &sizes) {
            let mut chunk = chunk.to_vec();
            let out: Vec<_> = decoder.feed(&mut chunk, Instant::now()).map(Out::from).collect();
            prop_assert!(out.iter().rev().skip(1).all(|item| !matches!(item, Out::Fault(_))));
            prop_assert!(decoder.held_bytes() <= 500 + 250, "{} held", decoder.held_bytes());
            prop_assert!(!decoder.is_over() || decoder.held_bytes() == 0);
        }
    }
}
