//! A plain WebSocket broadcaster: what `fanfare-bench limit` and simple
//! servers speak, in text frames. The first client frame is
//! `{"join":[rooms…]}` (whole numbers), answered by `{"joined":k}`. Then
//! `{"room":r,"n":n,"t":intended_ns,"pad":"…"}` goes from the publisher to
//! every member of the room, the publisher included, byte for byte.

use super::frame::{Opcode, Pieces, masked};
use super::{Delivery, Dialect, Message, Sink, Who, decimal, http, read_decimal};

/// The dialect; nothing to remember.
#[derive(Debug, Default)]
pub struct Plain;

/// How far a connection has come.
#[derive(Debug, Default)]
pub struct Link {
    upgraded: bool,
    ready: bool,
    pieces: Pieces,
}

impl Dialect for Plain {
    type Link = Link;

    fn open(&self, _: &mut Link, who: &Who<'_>, out: &mut Vec<u8>) {
        http::upgrade(who, None, out);
    }

    #[inline]
    fn read<S: Sink>(
        &self,
        link: &mut Link,
        who: &Who<'_>,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<usize, String> {
        let mut used = 0;
        if !link.upgraded {
            let Some(head) = http::upgraded(bytes)? else {
                return Ok(0);
            };
            link.upgraded = true;
            used = head;
            masked(Opcode::Text, &join(who.rooms), sink.answer());
        }
        let ready = &mut link.ready;
        let mut context = (ready, sink);
        let read = link.pieces.read(
            &bytes[used..],
            &mut context,
            |(ready, sink), payload| {
                if let Some(delivery) = delivery(payload) {
                    sink.delivery(delivery);
                } else if !**ready && payload.starts_with(br#"{"joined":"#) {
                    **ready = true;
                    sink.ready();
                } else {
                    sink.other();
                }
                Ok(())
            },
            |(_, sink)| sink.answer(),
        )?;
        Ok(used + read)
    }

    fn publish(&self, _: &mut Link, _: &Who<'_>, message: &Message, out: &mut Vec<u8>) {
        masked(Opcode::Text, &text(message), out);
    }
}

/// The text of a message: `payload_bytes` in all, if the numbers leave room.
pub fn text(message: &Message) -> Vec<u8> {
    let mut text = Vec::with_capacity(message.payload_bytes + 64);
    text.extend_from_slice(br#"{"room":"#);
    decimal(u64::from(message.room), &mut text);
    text.extend_from_slice(br#","n":"#);
    decimal(message.number, &mut text);
    text.extend_from_slice(br#","t":"#);
    decimal(message.intended_ns, &mut text);
    text.extend_from_slice(br#","pad":""#);
    let end = message.payload_bytes.saturating_sub(2).max(text.len());
    text.resize(end, b'.');
    text.extend_from_slice(br#""}"#);
    text
}

/// Reads a message in place.
#[inline]
pub fn delivery(payload: &[u8]) -> Option<Delivery> {
    let rest = payload.strip_prefix(br#"{"room":"#)?;
    let (room, digits) = read_decimal(rest)?;
    let rest = rest[digits..].strip_prefix(br#","n":"#)?;
    let (number, digits) = read_decimal(rest)?;
    let rest = rest[digits..].strip_prefix(br#","t":"#)?;
    let (intended_ns, _) = read_decimal(rest)?;
    Some(Delivery {
        room: u32::try_from(room).ok()?,
        number,
        intended_ns,
        seq: None,
    })
}

fn join(rooms: &[u32]) -> Vec<u8> {
    let mut text = br#"{"join":["#.to_vec();
    for (at, room) in rooms.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        decimal(u64::from(*room), &mut text);
    }
    text.extend_from_slice(b"]}");
    text
}
