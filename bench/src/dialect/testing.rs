//! What dialect tests share: a sink that remembers, bytes handed over in
//! pieces as a socket would, server frames, client frames read back.

use super::frame::{Opcode, masked};
use super::{Delivery, Dialect, Sink, Who};

/// What a sink was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The connection is ready.
    Ready,
    /// A message.
    Delivery(Delivery),
    /// A message was not taken.
    Refused(u32, u64, String),
    /// Something else.
    Other,
}

#[derive(Default)]
struct Ear {
    heard: Vec<Heard>,
    answers: Vec<u8>,
}

impl Sink for Ear {
    fn ready(&mut self) {
        self.heard.push(Heard::Ready);
    }
    fn delivery(&mut self, delivery: Delivery) {
        self.heard.push(Heard::Delivery(delivery));
    }
    fn refused(&mut self, room: u32, number: u64, why: &str) {
        self.heard.push(Heard::Refused(room, number, why.into()));
    }
    fn other(&mut self) {
        self.heard.push(Heard::Other);
    }
    fn answer(&mut self) -> &mut Vec<u8> {
        &mut self.answers
    }
}

/// Hands `pieces` over as reads of a socket, what was not used again with more
/// behind it. What was heard, and the texts of the data frames answered.
pub fn heard<D: Dialect>(
    dialect: &D,
    who: &Who<'_>,
    pieces: &[&[u8]],
) -> Result<(Vec<Heard>, Vec<String>), String> {
    let (heard, answers) = exchanged(dialect, who, pieces)?;
    Ok((heard, text(&answers)))
}

/// The same, of one that answers with something else than frames.
pub fn exchanged<D: Dialect>(
    dialect: &D,
    who: &Who<'_>,
    pieces: &[&[u8]],
) -> Result<(Vec<Heard>, Vec<u8>), String> {
    let mut link = D::Link::default();
    let mut ear = Ear::default();
    let mut waiting = Vec::new();
    for piece in pieces {
        waiting.extend_from_slice(piece);
        let used = dialect.read(&mut link, who, &waiting, &mut ear)?;
        waiting.drain(..used);
    }
    assert!(waiting.is_empty(), "whole frames were left: {waiting:?}");
    Ok((ear.heard, ear.answers))
}

/// Appends an unmasked frame, the last of its message.
pub fn frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    let mut client = Vec::new();
    masked(Opcode::Text, payload, &mut client);
    let header = client.len() - payload.len() - 4;
    client[0] = 0x80 | opcode;
    client[1] &= 0x7f;
    out.extend_from_slice(&client[..header]);
    out.extend_from_slice(payload);
}

/// `bytes` in pieces that end at the given places, where those are inside.
pub fn split<'a>(bytes: &'a [u8], ends: &[usize]) -> Vec<&'a [u8]> {
    let mut ends = ends.to_vec();
    ends.sort_unstable();
    ends.retain(|end| *end < bytes.len());
    ends.push(bytes.len());
    let mut start = 0;
    ends.into_iter()
        .map(|end| {
            let piece = &bytes[start..end];
            start = end;
            piece
        })
        .collect()
}

/// The texts of the data frames a client sent (their mask is zero).
pub fn text(mut bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (length, rest) = match second & 0x7f {
            126 => (usize::from(rest[0]) << 8 | usize::from(rest[1]), &rest[2..]),
            127 => panic!("a client frame above 64 KiB"),
            length => (usize::from(length), rest),
        };
        let (payload, after) = rest[4..].split_at(length);
        if matches!(first & 0xf, 1 | 2) {
            texts.push(String::from_utf8(payload.to_vec()).unwrap());
        }
        bytes = after;
    }
    texts
}
