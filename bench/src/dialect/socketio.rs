//! Socket.IO 4 over WebSocket: Engine.IO 4 packets, one a text frame, whose
//! messages are Socket.IO packets (socket.io/docs/v4, "The Engine.IO protocol"
//! and "The Socket.IO protocol"). The events are those of
//! `bench/peers/servers/socketio.mjs`: `join` [rooms…], acknowledged; `say`
//! room text; `said` room text, and the row's number where the server stores.

use super::frame::{Opcode, Pieces, masked};
use super::{
    Delivery, Dialect, Message, Sink, Who, decimal, http, read_decimal, read_stamp, stamp,
};

/// The dialect.
#[derive(Debug)]
pub struct SocketIo {
    /// Whether `say` asks for an acknowledgement, as makes sense only of a
    /// server that stores what it acknowledges.
    pub acknowledged: bool,
}

/// How far a connection has come.
#[derive(Debug, Default)]
pub struct Link {
    upgraded: bool,
    ready: bool,
    /// Acknowledgements asked for: the next one's id. `join` has 0.
    asked: u64,
    pieces: Pieces,
}

impl Dialect for SocketIo {
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
        }
        let mut context = (&mut link.ready, sink);
        let read = link.pieces.read(
            &bytes[used..],
            &mut context,
            |(ready, sink), packet| obey(ready, who, packet, *sink),
            |(_, sink)| sink.answer(),
        )?;
        Ok(used + read)
    }

    fn publish(&self, link: &mut Link, _: &Who<'_>, message: &Message, out: &mut Vec<u8>) {
        let mut packet = b"42".to_vec();
        if self.acknowledged {
            link.asked += 1;
            decimal(link.asked, &mut packet);
        }
        packet.extend_from_slice(br#"["say","#);
        decimal(u64::from(message.room), &mut packet);
        packet.extend_from_slice(br#",""#);
        stamp(message, &mut packet);
        packet.extend_from_slice(br#""]"#);
        masked(Opcode::Text, &packet, out);
    }
}

#[inline]
fn obey(
    ready: &mut bool,
    who: &Who<'_>,
    packet: &[u8],
    sink: &mut impl Sink,
) -> Result<(), String> {
    match packet {
        [b'4', b'2', event @ ..] => sink.delivery(delivery(event).ok_or_else(|| unknown(packet))?),
        [b'4', b'3', ..] if !*ready => {
            *ready = true;
            sink.ready();
        }
        [b'4', b'3', ..] | [b'6', ..] => sink.other(),
        [b'2', ..] => {
            sink.other();
            masked(Opcode::Text, b"3", sink.answer());
        }
        [b'0', ..] => {
            let connect = format!(r#"40{{"token":"{}"}}"#, who.token);
            masked(Opcode::Text, connect.as_bytes(), sink.answer());
        }
        [b'4', b'0', ..] => masked(Opcode::Text, &join(who.rooms), sink.answer()),
        _ => return Err(unknown(packet)),
    }
    Ok(())
}

/// Reads `["said",room,"text"]` or `["said",room,"text",id]` in place.
#[inline]
fn delivery(event: &[u8]) -> Option<Delivery> {
    let rest = event.strip_prefix(br#"["said","#)?;
    let (room, digits) = read_decimal(rest)?;
    let text = rest[digits..].strip_prefix(br#",""#)?;
    let (number, intended_ns) = read_stamp(text)?;
    let end = text.strip_suffix(b"]")?;
    // The text has no quotation marks but its own, so digits behind its last
    // one are the id.
    let seq = match end.iter().rposition(|byte| !byte.is_ascii_digit())? {
        last if last + 1 == end.len() => None,
        comma => Some(read_decimal(&end[comma + 1..])?.0),
    };
    Some(Delivery {
        room: u32::try_from(room).ok()?,
        number,
        intended_ns,
        seq,
    })
}

fn join(rooms: &[u32]) -> Vec<u8> {
    let mut packet = br#"420["join",["#.to_vec();
    for (at, room) in rooms.iter().enumerate() {
        if at > 0 {
            packet.push(b',');
        }
        decimal(u64::from(*room), &mut packet);
    }
    packet.extend_from_slice(b"]]");
    packet
}

/// A refused connect (44), a disconnect (41), a close (1) or nonsense.
fn unknown(packet: &[u8]) -> String {
    let what = match packet {
        [b'4', b'4', ..] => "connect refused",
        [b'4', b'1', ..] | [b'1', ..] => "closed by the server",
        _ => "unknown packet",
    };
    format!("{what}: {}", String::from_utf8_lossy(packet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::testing::{self, Heard, heard, text};

    const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    const WHO: Who<'_> = Who {
        host: "h:1",
        path: "/socket.io/?EIO=4&transport=websocket",
        rooms: &[7, 12],
        token: "e30.e30.c2ln",
    };
    const PLAIN: SocketIo = SocketIo {
        acknowledged: false,
    };

    fn message(room: u32, number: u64) -> Message {
        Message {
            room,
            number,
            intended_ns: 1000,
            payload_bytes: 40,
        }
    }

    fn delivery(room: u32, number: u64, seq: Option<u64>) -> Heard {
        Heard::Delivery(Delivery {
            room,
            number,
            intended_ns: 1000,
            seq,
        })
    }

    /// Everything a server says to a member of two rooms.
    fn conversation() -> (Vec<u8>, Vec<Heard>) {
        let mut bytes = UPGRADED.to_vec();
        for packet in [
            r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":65536}"#,
            r#"40{"sid":"b"}"#,
            "430[2]",
            r#"42["said",7,"000000000000000100000000000003e8........"]"#,
            "2",
            r#"42["said",12,"000000000000000200000000000003e8........",41]"#,
            "431[41]",
        ] {
            testing::frame(1, packet.as_bytes(), &mut bytes);
        }
        let expected = vec![
            Heard::Ready,
            delivery(7, 1, None),
            Heard::Other,
            delivery(12, 2, Some(41)),
            Heard::Other,
        ];
        (bytes, expected)
    }

    #[test]
    fn a_connection_shows_its_token_joins_and_answers_pings() {
        let (bytes, expected) = conversation();
        let (heard, answers) = heard(&PLAIN, &WHO, &[&bytes]).unwrap();
        assert_eq!(heard, expected);
        assert_eq!(
            answers,
            [
                r#"40{"token":"e30.e30.c2ln"}"#,
                r#"420["join",[7,12]]"#,
                "3"
            ]
        );
    }

    #[test]
    fn a_message_is_an_event_with_an_acknowledgement_only_where_it_is_stored() {
        let mut out = Vec::new();
        PLAIN.publish(&mut Link::default(), &WHO, &message(7, 3), &mut out);
        let stores = SocketIo { acknowledged: true };
        let mut link = Link::default();
        stores.publish(&mut link, &WHO, &message(7, 4), &mut out);
        stores.publish(&mut link, &WHO, &message(7, 5), &mut out);
        assert_eq!(
            text(&out),
            [
                r#"42["say",7,"000000000000000300000000000003e8........"]"#,
                r#"421["say",7,"000000000000000400000000000003e8........"]"#,
                r#"422["say",7,"000000000000000500000000000003e8........"]"#,
            ]
        );
    }

    #[test]
    fn refusals_and_nonsense_end_the_connection() {
        for packet in [
            r#"44{"message":"jwt malformed"}"#,
            "41",
            "1",
            "9",
            "",
            r#"42["said",7,"no stamp"]"#,
            r#"42["said",7,"000000000000000100000000000003e8","#,
        ] {
            let mut bytes = UPGRADED.to_vec();
            testing::frame(1, packet.as_bytes(), &mut bytes);
            let why = heard(&PLAIN, &WHO, &[&bytes]).unwrap_err();
            assert!(why.ends_with(packet), "{why}");
        }
    }

    proptest::proptest! {
        #[test]
        fn bytes_may_be_split_anywhere(splits in proptest::collection::vec(0_usize..500, 0..8)) {
            let (bytes, expected) = conversation();
            let (heard, _) = heard(&PLAIN, &WHO, &testing::split(&bytes, &splits)).unwrap();
            proptest::prop_assert_eq!(heard, expected);
        }
    }
}
