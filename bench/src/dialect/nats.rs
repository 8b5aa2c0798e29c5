//! nats-server over WebSocket: NATS's own lines in binary frames
//! (docs.nats.io, "Client Protocol"). A room's subject is its number, and so
//! is the id of the subscription, so that a delivery names its room twice and
//! the second, which needs no search, is read. Frames are only a carrier: the
//! server puts all that waits for a client into one, of any size, and may end
//! it in the middle of a line or a payload. So what is whole is read from a
//! frame that is still arriving, and what a frame's end cuts waits in the link.

use super::frame::{Header, Opcode, close_reason, header, masked};
use super::{
    Delivery, Dialect, Message, Sink, Who, decimal, http, read_decimal, read_stamp, stamp,
};

/// The dialect; nothing to remember.
#[derive(Debug, Default)]
pub struct Nats;

/// How far a connection has come.
#[derive(Debug, Default)]
pub struct Link {
    upgraded: bool,
    greeted: bool,
    ready: bool,
    /// Payload bytes of the current data frame that were not read yet.
    unread: u64,
    /// The beginning of an operation whose end is in the next frame.
    cut: Vec<u8>,
}

/// The longest line; only `INFO` has more than a hundred bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// The largest payload taken for real: what the server allows by default.
const PAYLOAD_BYTES_MAX: u64 = 1 << 20;

impl Dialect for Nats {
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
        loop {
            let rest = &bytes[used..];
            if link.unread == 0 {
                let Some(header) = header(rest)? else {
                    return Ok(used);
                };
                let Some(taken) = begin(link, &header, rest, sink)? else {
                    return Ok(used);
                };
                used += taken;
            } else {
                let whole = rest.len() as u64 >= link.unread;
                let part = if whole {
                    link.unread as usize
                } else {
                    rest.len()
                };
                let taken = operations(link, who, &rest[..part], whole, sink)?;
                link.unread -= taken as u64;
                used += taken;
                if !whole {
                    return Ok(used);
                }
            }
        }
    }

    fn publish(&self, _: &mut Link, _: &Who<'_>, message: &Message, out: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(message.payload_bytes);
        stamp(message, &mut payload);
        let mut line = b"PUB ".to_vec();
        decimal(u64::from(message.room), &mut line);
        line.push(b' ');
        decimal(payload.len() as u64, &mut line);
        line.extend_from_slice(b"\r\n");
        line.extend_from_slice(&payload);
        line.extend_from_slice(b"\r\n");
        masked(Opcode::Binary, &line, out);
    }
}

/// Begins a frame: control frames are done with at once, data is left to be
/// read. How many bytes that took; `None` while a control frame is not whole.
fn begin(
    link: &mut Link,
    header: &Header,
    bytes: &[u8],
    sink: &mut impl Sink,
) -> Result<Option<usize>, String> {
    if matches!(
        header.opcode,
        Opcode::Text | Opcode::Binary | Opcode::Continuation
    ) {
        link.unread = header.payload_bytes;
        return Ok(Some(header.bytes));
    }
    let end = header.bytes + header.payload_bytes as usize;
    let Some(payload) = bytes.get(header.bytes..end) else {
        return Ok(None);
    };
    match header.opcode {
        Opcode::Close => return Err(close_reason(payload)),
        Opcode::Ping => masked(Opcode::Pong, payload, sink.answer()),
        _ => {}
    }
    Ok(Some(end))
}

/// Reads the operations in a part of a frame and says how many bytes that
/// took: all of them if the frame ends here (`ends`), else whole operations.
#[inline]
fn operations(
    link: &mut Link,
    who: &Who<'_>,
    part: &[u8],
    ends: bool,
    sink: &mut impl Sink,
) -> Result<usize, String> {
    let mut used = 0;
    if !link.cut.is_empty() {
        used = complete(link, who, part, sink)?;
    }
    while let Read::Whole(operation, bytes) = operation(&part[used..])? {
        obey(link, who, &operation, sink)?;
        used += bytes;
    }
    if ends {
        link.cut.extend_from_slice(&part[used..]);
        used = part.len();
    }
    Ok(used)
}

/// Takes from `part` what the cut operation lacks and says how much that was.
fn complete(
    link: &mut Link,
    who: &Who<'_>,
    part: &[u8],
    sink: &mut impl Sink,
) -> Result<usize, String> {
    let mut cut = std::mem::take(&mut link.cut);
    let mut used = 0;
    loop {
        match operation(&cut)? {
            Read::Whole(operation, _) => {
                obey(link, who, &operation, sink)?;
                cut.clear();
                break;
            }
            Read::Needs(bytes) => {
                let end = part.len().min(used + bytes);
                if used == end {
                    break;
                }
                cut.extend_from_slice(&part[used..end]);
                used = end;
            }
        }
    }
    link.cut = cut;
    Ok(used)
}

/// What the server says.
enum Operation<'a> {
    Info,
    Message { room: u64, payload: &'a [u8] },
    Ping,
    Pong,
    Fine,
    Failed(&'a [u8]),
}

/// What stands at the start of some bytes.
enum Read<'a> {
    /// An operation and its length in bytes.
    Whole(Operation<'a>, usize),
    /// Its beginning; at least so many bytes follow.
    Needs(usize),
}

#[inline]
fn operation(bytes: &[u8]) -> Result<Read<'_>, String> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        if bytes.len() > LINE_BYTES_MAX {
            return Err(format!("line above {LINE_BYTES_MAX} bytes"));
        }
        return Ok(Read::Needs(1));
    };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let after = end + 1;
    let operation = match line {
        [b'M', b'S', b'G', b' ', arguments @ ..] => return message(arguments, bytes, after),
        b"PING" => Operation::Ping,
        b"PONG" => Operation::Pong,
        b"+OK" => Operation::Fine,
        [b'I', b'N', b'F', b'O', b' ', ..] => Operation::Info,
        [b'-', b'E', b'R', b'R', b' ', why @ ..] => Operation::Failed(why),
        _ => return Err(format!("unknown line {}", String::from_utf8_lossy(line))),
    };
    Ok(Read::Whole(operation, after))
}

/// `arguments` are `subject sid bytes`; the payload begins at `after` and is
/// followed by a line end.
#[inline]
fn message<'a>(arguments: &[u8], bytes: &'a [u8], after: usize) -> Result<Read<'a>, String> {
    let malformed = || format!("malformed MSG {}", String::from_utf8_lossy(arguments));
    let subject = arguments.iter().position(|byte| *byte == b' ');
    let rest = &arguments[subject.ok_or_else(malformed)? + 1..];
    let (room, digits) = read_decimal(rest).ok_or_else(malformed)?;
    let rest = rest[digits..].strip_prefix(b" ").ok_or_else(malformed)?;
    let (payload, digits) = read_decimal(rest).ok_or_else(malformed)?;
    if digits != rest.len() || payload > PAYLOAD_BYTES_MAX {
        return Err(malformed());
    }
    let end = after + payload as usize;
    Ok(match bytes.get(end..end + 2) {
        Some(b"\r\n") => {
            let payload = &bytes[after..end];
            Read::Whole(Operation::Message { room, payload }, end + 2)
        }
        Some(_) => return Err(format!("{} is too short", malformed())),
        None => Read::Needs(end + 2 - bytes.len()),
    })
}

#[inline]
fn obey(
    link: &mut Link,
    who: &Who<'_>,
    operation: &Operation<'_>,
    sink: &mut impl Sink,
) -> Result<(), String> {
    match *operation {
        Operation::Message { room, payload } => {
            let room = u32::try_from(room).map_err(|_| "room above 32 bits")?;
            let (number, intended_ns) = read_stamp(payload).ok_or("payload without a stamp")?;
            sink.delivery(Delivery {
                room,
                number,
                intended_ns,
                seq: None,
            });
        }
        Operation::Info if !link.greeted => {
            link.greeted = true;
            masked(Opcode::Binary, &greeting(who), sink.answer());
        }
        Operation::Pong if !link.ready => {
            link.ready = true;
            sink.ready();
        }
        Operation::Ping => {
            sink.other();
            masked(Opcode::Binary, b"PONG\r\n", sink.answer());
        }
        Operation::Info | Operation::Pong | Operation::Fine => sink.other(),
        Operation::Failed(why) => {
            return Err(format!("server: {}", String::from_utf8_lossy(why)));
        }
    }
    Ok(())
}

/// Credentials, the subscriptions, and a `PING` whose answer says that all
/// of it was obeyed.
fn greeting(who: &Who<'_>) -> Vec<u8> {
    let mut lines = format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":false,\"auth_token\":\"{}\"}}\r\n",
        who.token
    )
    .into_bytes();
    for room in who.rooms {
        lines.extend_from_slice(format!("SUB {room} {room}\r\n").as_bytes());
    }
    lines.extend_from_slice(b"PING\r\n");
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::testing::{self, Heard, heard, text};

    const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    const WHO: Who<'_> = Who {
        host: "h:1",
        path: "/",
        rooms: &[7, 12],
        token: "s3",
    };

    fn delivery(room: u32, number: u64) -> Heard {
        Heard::Delivery(Delivery {
            room,
            number,
            intended_ns: 1000,
            seq: None,
        })
    }

    fn published(room: u32, number: u64) -> Message {
        Message {
            room,
            number,
            intended_ns: 1000,
            payload_bytes: 40,
        }
    }

    /// What the server makes of a published message.
    fn line(room: u32, number: u64) -> Vec<u8> {
        let mut line = format!("MSG {room} {room} 40\r\n").into_bytes();
        stamp(&published(room, number), &mut line);
        line.extend_from_slice(b"\r\n");
        line
    }

    #[test]
    fn a_connection_greets_subscribes_and_is_ready_at_the_pong() {
        let mut bytes = UPGRADED.to_vec();
        testing::frame(2, b"INFO {\"max_payload\":1048576} \r\n", &mut bytes);
        testing::frame(2, b"PONG\r\nPING\r\n", &mut bytes);
        let (heard, answers) = heard(&Nats, &WHO, &[&bytes]).unwrap();
        assert_eq!(heard, [Heard::Ready, Heard::Other]);
        assert_eq!(
            answers,
            [
                "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":false,\"auth_token\":\"s3\"}\r\n\
                 SUB 7 7\r\nSUB 12 12\r\nPING\r\n",
                "PONG\r\n",
            ]
        );
    }

    #[test]
    fn a_message_is_published_as_one_line_and_its_payload() {
        let mut out = Vec::new();
        Nats.publish(&mut Link::default(), &WHO, &published(7, 3), &mut out);
        assert_eq!(
            text(&out),
            ["PUB 7 40\r\n000000000000000300000000000003e8........\r\n"]
        );
    }

    #[test]
    fn a_refusal_ends_the_connection_with_its_reason() {
        let mut bytes = UPGRADED.to_vec();
        testing::frame(2, b"-ERR 'Authorization Violation'\r\n", &mut bytes);
        let why = heard(&Nats, &WHO, &[&bytes]).unwrap_err();
        assert_eq!(why, "server: 'Authorization Violation'");
    }

    #[test]
    fn nonsense_is_named() {
        for nonsense in [
            &b"HMSG 7 7 12 40\r\n"[..],
            b"MSG 7 7\r\n",
            b"MSG 7 7 reply 40\r\n",
            b"MSG 7 7 2\r\nabcd\r\n",
            b"MSG 7 7 2000000\r\n",
        ] {
            let mut bytes = UPGRADED.to_vec();
            testing::frame(2, nonsense, &mut bytes);
            heard(&Nats, &WHO, &[&bytes]).unwrap_err();
        }
    }

    proptest::proptest! {
        /// Wherever frames end and wherever the bytes were split, the same is heard.
        #[test]
        fn lines_may_be_cut_by_frames_and_by_reads(
            frames in proptest::collection::vec(0_usize..400, 0..6),
            splits in proptest::collection::vec(0_usize..600, 0..8),
        ) {
            let mut lines = b"INFO {}\r\nPONG\r\n".to_vec();
            for number in 1..=3 {
                lines.extend(line(7, number));
                lines.extend_from_slice(b"PING\r\n");
                lines.extend(line(12, number));
            }
            let mut bytes = UPGRADED.to_vec();
            for piece in testing::split(&lines, &frames) {
                testing::frame(2, piece, &mut bytes);
                testing::frame(9, b"ping", &mut bytes);
            }
            let (heard, _) = heard(&Nats, &WHO, &testing::split(&bytes, &splits)).unwrap();
            let mut expected = vec![Heard::Ready];
            for number in 1..=3 {
                expected.extend([delivery(7, number), Heard::Other, delivery(12, number)]);
            }
            proptest::prop_assert_eq!(heard, expected);
        }
    }
}
