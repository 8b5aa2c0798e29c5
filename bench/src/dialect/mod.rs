//! What a server speaks, as pure functions over bytes: how a connection is
//! opened, how a message is published, and what received bytes deliver. The
//! engine (`crate::engine`) owns sockets, time and checks; a dialect never
//! touches any of them, so one engine measures every server alike.
//!
//! To add a server: a file here that implements [`Dialect`] ([`plain`] is the
//! smallest), a line in [`crate::args::Server`], an arm in `crate::run`.
//! **Invariant:** no allocation per delivery: what arrives is read in place.

pub mod centrifugo;
pub mod events;
pub mod fanfare;
pub mod frame;
pub mod http;
pub mod nats;
pub mod plain;
pub mod socketio;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

/// One server's words. `Self` holds what all connections share (names of
/// rooms, ready texts); `Link` what one connection remembers between reads.
pub trait Dialect {
    /// State of one connection; tens of thousands of them exist at once.
    type Link: Default;

    /// Appends what is sent as soon as TCP is up (usually the upgrade).
    fn open(&self, link: &mut Self::Link, who: &Who<'_>, out: &mut Vec<u8>);

    /// Reads as many whole frames as `bytes` has, tells `sink` what they were
    /// and returns how many bytes that took. The rest comes again with more
    /// behind it. Must not depend on where `bytes` was split.
    ///
    /// What the server has to be told at once (next step of the handshake, a
    /// pong) is appended to [`Sink::answer`].
    ///
    /// # Errors
    /// A sentence why this connection is lost: refused, closed, or nonsense.
    fn read<S: Sink>(
        &self,
        link: &mut Self::Link,
        who: &Who<'_>,
        bytes: &[u8],
        sink: &mut S,
    ) -> Result<usize, String>;

    /// Appends one message from the connection `who`, which is ready and a
    /// member of the room.
    fn publish(&self, link: &mut Self::Link, who: &Who<'_>, message: &Message, out: &mut Vec<u8>);
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// `host:port` of the server, for the `Host` header.
    pub host: &'a str,
    /// Path and query of the URL.
    pub path: &'a str,
    /// Indexes of the rooms it must be a member of once it is ready.
    pub rooms: &'a [u32],
    /// Credentials of its user; empty where the server wants none.
    pub token: &'a str,
}

/// One message to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Index of the room.
    pub room: u32,
    /// Number of this message in its room: 1, 2, 3… One connection publishes
    /// all messages of a room, so every receiver must see them rise by one.
    pub number: u64,
    /// When the schedule wanted it sent, in ns since the run began. Latency
    /// counts from here.
    pub intended_ns: u64,
    /// Bytes that the text (the payload proper) must have, numbers included.
    pub payload_bytes: usize,
}

/// One message received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Index of the room.
    pub room: u32,
    /// The publisher's [`Message::number`].
    pub number: u64,
    /// The publisher's [`Message::intended_ns`].
    pub intended_ns: u64,
    /// The server's own number, if it has one: must rise within the room.
    pub seq: Option<u64>,
}

/// Who is told what was read.
pub trait Sink {
    /// The connection is ready: upgraded, authenticated, member of its rooms.
    /// Exactly once, before its first delivery.
    fn ready(&mut self);
    /// A message of a room. The hot path.
    fn delivery(&mut self, delivery: Delivery);
    /// The server says that this message was not taken.
    fn refused(&mut self, room: u32, number: u64, why: &str);
    /// A frame that is none of these (reply, signal, ping), for the count.
    fn other(&mut self);
    /// Bytes to send back at once.
    fn answer(&mut self) -> &mut Vec<u8>;
}

/// The text of a message where the dialect is free to choose it: number and
/// time as 16 hexadecimal digits each, then filling. The shortest is
/// [`STAMP_BYTES`].
pub fn stamp(message: &Message, out: &mut Vec<u8>) {
    let end = out.len() + message.payload_bytes.max(STAMP_BYTES);
    hex(message.number, out);
    hex(message.intended_ns, out);
    out.resize(end, b'.');
}

/// Reads what [`stamp`] wrote: number and intended time.
#[inline]
pub fn read_stamp(text: &[u8]) -> Option<(u64, u64)> {
    let (number, rest) = text.split_first_chunk::<16>()?;
    let (intended, _) = rest.split_first_chunk::<16>()?;
    Some((unhex(number)?, unhex(intended)?))
}

/// Bytes of the shortest [`stamp`].
pub const STAMP_BYTES: usize = 32;

fn hex(value: u64, out: &mut Vec<u8>) {
    for shift in (0..16).rev() {
        let digit = (value >> (shift * 4)) as usize & 15;
        out.push(b"0123456789abcdef"[digit]);
    }
}

#[inline]
fn unhex(digits: &[u8; 16]) -> Option<u64> {
    let mut value = 0;
    for digit in digits {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    Some(value)
}

/// Appends a whole number in decimal.
pub fn decimal(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut rest = value;
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Reads a whole number at the start of `bytes`: it and how many digits.
#[inline]
pub fn read_decimal(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    let mut length = 0;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        length += 1;
    }
    (length > 0).then_some((value, length))
}
