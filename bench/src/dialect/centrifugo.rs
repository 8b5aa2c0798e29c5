//! Centrifugo 6 over its bidirectional WebSocket, JSON form
//! (centrifugal.dev, "Client protocol"): a text frame holds one or several
//! lines, each a command or a reply. A room's channel is its number, in the
//! namespace `kept` where the server shall keep a history for recovery; then
//! publications bear an offset, which must rise.

use super::frame::{Opcode, Pieces, masked};
use super::{
    Delivery, Dialect, Message, Sink, Who, decimal, http, read_decimal, read_stamp, stamp,
};

/// The dialect.
#[derive(Debug)]
pub struct Centrifugo {
    /// Whether rooms are channels of the namespace with history and recovery.
    pub history: bool,
}

/// How far a connection has come.
#[derive(Debug, Default)]
pub struct Link {
    upgraded: bool,
    /// Commands sent so far: the last one's id.
    commands: u64,
    /// Replies to the handshake (connect, one a room) so far.
    replies: usize,
    pieces: Pieces,
}

/// Commands a frame: far below the 64 KiB that the server takes.
const COMMANDS_PER_FRAME: usize = 256;

impl Dialect for Centrifugo {
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
            self.greet(link, who, sink.answer());
        }
        let mut context = (&mut link.replies, sink);
        let read = link.pieces.read(
            &bytes[used..],
            &mut context,
            |(replies, sink), lines| {
                lines
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .try_for_each(|line| self.obey(replies, who, line, *sink))
            },
            |(_, sink)| sink.answer(),
        )?;
        Ok(used + read)
    }

    fn publish(&self, link: &mut Link, _: &Who<'_>, message: &Message, out: &mut Vec<u8>) {
        link.commands += 1;
        let mut command = br#"{"id":"#.to_vec();
        decimal(link.commands, &mut command);
        command.extend_from_slice(br#","publish":{"channel":""#);
        command.extend_from_slice(self.namespace());
        decimal(u64::from(message.room), &mut command);
        command.extend_from_slice(br#"","data":""#);
        stamp(message, &mut command);
        command.extend_from_slice(br#""}}"#);
        masked(Opcode::Text, &command, out);
    }
}

impl Centrifugo {
    fn namespace(&self) -> &'static [u8] {
        if self.history { b"kept:" } else { b"" }
    }

    /// Sends the token and the subscriptions without waiting in between.
    fn greet(&self, link: &mut Link, who: &Who<'_>, out: &mut Vec<u8>) {
        let mut commands = vec![format!(
            r#"{{"id":1,"connect":{{"token":"{}"}}}}"#,
            who.token
        )];
        for (room, id) in who.rooms.iter().zip(2..) {
            let namespace = String::from_utf8_lossy(self.namespace());
            commands.push(format!(
                r#"{{"id":{id},"subscribe":{{"channel":"{namespace}{room}"}}}}"#
            ));
        }
        link.commands = commands.len() as u64;
        for some in commands.chunks(COMMANDS_PER_FRAME) {
            masked(Opcode::Text, some.join("\n").as_bytes(), out);
        }
    }

    #[inline]
    fn obey(
        &self,
        replies: &mut usize,
        who: &Who<'_>,
        line: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), String> {
        let unknown = || format!("unexpected: {}", String::from_utf8_lossy(line));
        if let Some(push) = line.strip_prefix(br#"{"push":{"channel":""#) {
            sink.delivery(self.delivery(push).ok_or_else(unknown)?);
            return Ok(());
        }
        if line == b"{}" {
            sink.other();
            masked(Opcode::Text, b"{}", sink.answer());
            return Ok(());
        }
        let rest = line.strip_prefix(br#"{"id":"#).ok_or_else(unknown)?;
        let (_, digits) = read_decimal(rest).ok_or_else(unknown)?;
        let reply = &rest[digits..];
        if reply.starts_with(br#","publish":"#) {
            sink.other();
        } else if reply.starts_with(br#","connect":"#) || reply.starts_with(br#","subscribe":"#) {
            *replies += 1;
            if *replies == who.rooms.len() + 1 {
                sink.ready();
            }
        } else {
            return Err(unknown());
        }
        Ok(())
    }

    /// Reads `room","pub":{"data":"text",…}}}` in place.
    #[inline]
    fn delivery(&self, push: &[u8]) -> Option<Delivery> {
        let (room, digits) = read_decimal(push.strip_prefix(self.namespace())?)?;
        let rest = &push[self.namespace().len() + digits..];
        let (number, intended_ns) = read_stamp(rest.strip_prefix(br#"","pub":{"data":""#)?)?;
        let seq = if self.history {
            Some(offset(rest)?)
        } else {
            None
        };
        Some(Delivery {
            room: u32::try_from(room).ok()?,
            number,
            intended_ns,
            seq,
        })
    }
}

/// The number behind the last `"offset":`, which stands near the end.
#[inline]
fn offset(publication: &[u8]) -> Option<u64> {
    const KEY: &[u8] = br#","offset":"#;
    let at = publication
        .windows(KEY.len())
        .rposition(|some| some == KEY)?;
    Some(read_decimal(&publication[at + KEY.len()..])?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::testing::{self, Heard, heard, text};

    const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    const WHO: Who<'_> = Who {
        host: "h:1",
        path: "/connection/websocket",
        rooms: &[7, 12],
        token: "e30.e30.c2ln",
    };
    const PLAIN: Centrifugo = Centrifugo { history: false };
    const KEPT: Centrifugo = Centrifugo { history: true };

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

    /// Everything a server says to a member of two rooms, as recorded but for
    /// shorter ids: several lines a frame, the first publication with an epoch.
    fn conversation(history: bool) -> (Vec<u8>, Vec<Heard>) {
        let info = r#""info":{"user":"42","client":"25a9"}"#;
        let (namespace, first, second) = match history {
            true => ("kept:", r#","offset":1,"epoch":"LVqa""#, r#","offset":20"#),
            false => ("", "", ""),
        };
        let mut bytes = UPGRADED.to_vec();
        for lines in [
            "{\"id\":1,\"connect\":{\"client\":\"25a9\",\"ping\":25,\"pong\":true}}\n{\"id\":2,\"subscribe\":{}}".into(),
            r#"{"id":3,"subscribe":{"recoverable":true,"epoch":"LVqa","positioned":true}}"#.into(),
            format!(
                "{{\"push\":{{\"channel\":\"{namespace}7\",\"pub\":{{\"data\":\"000000000000000100000000000003e8........\",{info}{first}}}}}}}\n{{\"id\":4,\"publish\":{{}}}}"
            ),
            "{}".into(),
            format!(
                r#"{{"push":{{"channel":"{namespace}12","pub":{{"data":"000000000000000200000000000003e8........",{info}{second}}}}}}}"#
            ),
        ] {
            testing::frame(1, lines.as_bytes(), &mut bytes);
        }
        let expected = vec![
            Heard::Ready,
            delivery(7, 1, history.then_some(1)),
            Heard::Other,
            Heard::Other,
            delivery(12, 2, history.then_some(20)),
        ];
        (bytes, expected)
    }

    #[test]
    fn a_connection_shows_its_token_subscribes_and_answers_pings() {
        let (bytes, expected) = conversation(false);
        let (heard, answers) = heard(&PLAIN, &WHO, &[&bytes]).unwrap();
        assert_eq!(heard, expected);
        assert_eq!(
            answers,
            [
                "{\"id\":1,\"connect\":{\"token\":\"e30.e30.c2ln\"}}\n\
                 {\"id\":2,\"subscribe\":{\"channel\":\"7\"}}\n\
                 {\"id\":3,\"subscribe\":{\"channel\":\"12\"}}",
                "{}",
            ]
        );
    }

    #[test]
    fn a_room_that_is_kept_has_its_own_namespace_and_offsets() {
        let (bytes, expected) = conversation(true);
        let (heard, answers) = heard(&KEPT, &WHO, &[&bytes]).unwrap();
        assert_eq!(heard, expected);
        assert!(answers[0].contains(r#""channel":"kept:12""#), "{answers:?}");
    }

    #[test]
    fn a_message_is_a_publish_command_with_the_next_id() {
        let (mut link, mut out) = (Link::default(), Vec::new());
        PLAIN.greet(&mut link, &WHO, &mut out);
        out.clear();
        PLAIN.publish(&mut link, &WHO, &message(7, 3), &mut out);
        KEPT.publish(&mut link, &WHO, &message(12, 4), &mut out);
        assert_eq!(
            text(&out),
            [
                r#"{"id":4,"publish":{"channel":"7","data":"000000000000000300000000000003e8........"}}"#,
                r#"{"id":5,"publish":{"channel":"kept:12","data":"000000000000000400000000000003e8........"}}"#,
            ]
        );
    }

    #[test]
    fn many_subscriptions_go_out_in_frames_the_server_takes() {
        let rooms: Vec<u32> = (0..1000).collect();
        let who = Who {
            rooms: &rooms,
            ..WHO
        };
        let mut out = Vec::new();
        KEPT.greet(&mut Link::default(), &who, &mut out);
        let frames = text(&out);
        assert_eq!(
            frames
                .iter()
                .map(|frame| frame.lines().count())
                .sum::<usize>(),
            1001
        );
        assert!(frames.iter().all(|frame| frame.len() < 32 << 10));
    }

    #[test]
    fn refusals_and_nonsense_end_the_connection() {
        for line in [
            r#"{"id":1,"error":{"code":101,"message":"unauthorized"}}"#,
            r#"{"push":{"channel":"7","unsubscribe":{"code":2500}}}"#,
            r#"{"push":{"channel":"kept:7","pub":{"data":"000000000000000100000000000003e8"}}}"#,
            r#"{"push":{"channel":"7","pub":{"data":"no stamp"}}}"#,
            "nonsense",
        ] {
            let mut bytes = UPGRADED.to_vec();
            testing::frame(1, line.as_bytes(), &mut bytes);
            let why = heard(&PLAIN, &WHO, &[&bytes]).unwrap_err();
            assert!(why.ends_with(line), "{why}");
        }
    }

    proptest::proptest! {
        #[test]
        fn bytes_may_be_split_anywhere(
            history: bool,
            splits in proptest::collection::vec(0_usize..800, 0..8),
        ) {
            let (bytes, expected) = conversation(history);
            let dialect = Centrifugo { history };
            let (heard, _) = heard(&dialect, &WHO, &testing::split(&bytes, &splits)).unwrap();
            proptest::prop_assert_eq!(heard, expected);
        }
    }
}
