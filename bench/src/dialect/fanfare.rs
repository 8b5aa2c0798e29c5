//! `fanfare.v1.json`, as docs/protocol.md has it. An event of a message is
//! read at the places where its bytes always stand; whatever does not look
//! like that goes the slow way through a JSON parser.

use std::collections::HashMap;

use serde::Deserialize;

use super::frame::{Opcode, Pieces, masked};
use super::{Delivery, Dialect, Message, Sink, Who, http, read_decimal, read_stamp, stamp};

/// Bytes of a conversation's id: a UUID with hyphens.
const ID_BYTES: usize = 36;

/// What all connections share.
#[derive(Debug)]
pub struct Fanfare {
    /// The conversations, by index of the room.
    rooms: Vec<String>,
    index: HashMap<[u8; ID_BYTES], u32>,
    /// Part of every idempotency key, so that two runs never share one.
    run: String,
    /// Whether sends ask for a reply.
    replies: bool,
}

/// How far a connection has come.
#[derive(Debug, Default)]
pub struct Link {
    upgraded: bool,
    ready: bool,
    /// Rooms the replies named so far.
    subscribed: usize,
    pieces: Pieces,
}

/// Ids of the frames of the handshake.
const HELLO: u64 = 1;
const SUBSCRIBE: u64 = 2;

impl Fanfare {
    /// For these conversations; `run` must differ from run to run.
    ///
    /// # Errors
    /// The conversation that is no UUID.
    pub fn new(rooms: Vec<String>, run: String, replies: bool) -> anyhow::Result<Self> {
        let mut index = HashMap::with_capacity(rooms.len());
        for (at, id) in (0..).zip(&rooms) {
            let Ok(key) = id.as_bytes().try_into() else {
                anyhow::bail!("{id} is no conversation's id");
            };
            index.insert(key, at);
        }
        Ok(Self {
            rooms,
            index,
            run,
            replies,
        })
    }

    /// Reads a `message:received` in place; `None`: look at it slowly.
    #[inline]
    pub(super) fn delivery(&self, payload: &[u8]) -> Option<Delivery> {
        let rest = payload.strip_prefix(br#"{"type":"message:received","conversation":""#)?;
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>()?;
        let rest = rest.strip_prefix(br#"","epoch":"#)?;
        let (_, epoch_digits) = read_decimal(rest)?;
        let rest = rest[epoch_digits..].strip_prefix(br#","seq":"#)?;
        let (seq, seq_digits) = read_decimal(rest)?;
        // From behind the seq on every length is known until the text.
        let skipped = seq_digits + TO_SEQ + seq_digits + TO_EPOCH + epoch_digits + TO_REV;
        let author = skipped + seq_digits + TO_AUTHOR;
        let text = rest
            .get(author + ID_BYTES..)?
            .strip_prefix(br#"","type":"text","text":""#)?;
        let (number, intended_ns) = read_stamp(text)?;
        Some(Delivery {
            room: *self.index.get(id)?,
            number,
            intended_ns,
            seq: Some(seq),
        })
    }

    #[cold]
    pub(super) fn slowly<S: Sink>(
        &self,
        link: &mut Link,
        who: &Who<'_>,
        payload: &[u8],
        sink: &mut S,
    ) -> Result<(), String> {
        let frame: Slow<'_> = serde_json::from_slice(payload)
            .map_err(|error| format!("a frame that is no JSON: {error}"))?;
        if frame.kind == Some("message:received") {
            if let Some(delivery) = self.delivery_slowly(&frame) {
                sink.delivery(delivery);
            } else {
                sink.other();
            }
            return Ok(());
        }
        sink.other();
        match frame.re {
            Some(Re::Number(id)) => self.handshake(link, who, id, frame, sink),
            Some(Re::Text(id)) => {
                if let Some(error) = frame.error {
                    refused(id, error.code.unwrap_or_default(), sink);
                }
                Ok(())
            }
            None => {
                if frame.kind == Some("error") {
                    let data = frame.data.unwrap_or_default();
                    match data.key.as_deref().and_then(|key| key.split_once('/')) {
                        Some((_, id)) => refused(id, data.code.unwrap_or_default(), sink),
                        None => return Err(format!("error signal: {}", lossy(payload))),
                    }
                }
                Ok(())
            }
        }
    }

    /// A reply to hello or subscribe: ready once all rooms are named.
    fn handshake<S: Sink>(
        &self,
        link: &mut Link,
        who: &Who<'_>,
        re: u64,
        frame: Slow<'_>,
        sink: &mut S,
    ) -> Result<(), String> {
        if let Some(error) = frame.error {
            return Err(format!(
                "handshake refused: {}",
                error.code.unwrap_or_default()
            ));
        }
        let data = frame.data.unwrap_or_default();
        if !data.gone.is_empty() {
            return Err(format!("{} of its conversations are gone", data.gone.len()));
        }
        let mine = |cursor: &&Cursor<'_>| {
            let key: Result<[u8; ID_BYTES], _> = cursor.conversation.as_bytes().try_into();
            key.is_ok_and(|key| self.index.contains_key(&key))
        };
        let named: Vec<&str> = (data.subscribed.iter().chain(&data.resync))
            .filter(mine)
            .map(|cursor| cursor.conversation)
            .collect();
        link.subscribed += named.len();
        if link.subscribed >= who.rooms.len() && !link.ready {
            link.ready = true;
            sink.ready();
        }
        if link.ready || re != HELLO {
            return Ok(());
        }
        let wanted: Vec<&str> = (who.rooms.iter())
            .filter_map(|room| self.rooms.get(*room as usize))
            .map(String::as_str)
            .filter(|id| !named.contains(id))
            .collect();
        for some in wanted.chunks(200) {
            masked(Opcode::Text, subscribe(some).as_bytes(), sink.answer());
        }
        Ok(())
    }

    fn delivery_slowly(&self, frame: &Slow<'_>) -> Option<Delivery> {
        let room = self.index.get(frame.conversation?.as_bytes())?;
        let SlowMessage::Whole { text } = frame.data.as_ref()?.message.as_ref()? else {
            return None;
        };
        let (number, intended_ns) = read_stamp(text.as_bytes())?;
        Some(Delivery {
            room: *room,
            number,
            intended_ns,
            seq: frame.seq,
        })
    }
}

// What stands between the changing parts of an event of a message.
const TO_SEQ: usize =
    r#","data":{"message":{"id":"","conversation":"","seq":"#.len() + MESSAGE_ID_BYTES + ID_BYTES;
const TO_EPOCH: usize = r#","epoch":"#.len();
const TO_REV: usize = r#","rev":"#.len();
const TO_AUTHOR: usize = r#","author":""#.len();
/// 32 bytes in base64 without padding.
const MESSAGE_ID_BYTES: usize = 43;

impl Dialect for Fanfare {
    type Link = Link;

    fn open(&self, _: &mut Link, who: &Who<'_>, out: &mut Vec<u8>) {
        http::upgrade(who, Some("fanfare.v1.json"), out);
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
            masked(Opcode::Text, hello(who.token).as_bytes(), sink.answer());
        }
        let mut pieces = std::mem::take(&mut link.pieces);
        let mut context = (link, sink);
        let read = pieces.read(
            &bytes[used..],
            &mut context,
            |(link, sink), payload| match self.delivery(payload) {
                Some(delivery) => {
                    sink.delivery(delivery);
                    Ok(())
                }
                None => self.slowly(link, who, payload, *sink),
            },
            |(_, sink)| sink.answer(),
        );
        context.0.pieces = pieces;
        Ok(used + read?)
    }

    fn publish(&self, _: &mut Link, _: &Who<'_>, message: &Message, out: &mut Vec<u8>) {
        let Some(room) = self.rooms.get(message.room as usize) else {
            return;
        };
        let mut text = Vec::with_capacity(message.payload_bytes);
        stamp(message, &mut text);
        let id = format!("{}-{}", message.room, message.number);
        let ask = if self.replies {
            format!(r#""id":"{id}","#)
        } else {
            String::new()
        };
        let frame = format!(
            r#"{{{ask}"type":"message:send","key":"{}/{id}","data":{{"conversation":"{room}","text":"{}"}}}}"#,
            self.run,
            lossy(&text),
        );
        masked(Opcode::Text, frame.as_bytes(), out);
    }
}

/// `id` is `room-number`, as [`Fanfare::publish`] made it.
fn refused<S: Sink>(id: &str, why: &str, sink: &mut S) {
    let parts = id.split_once('-').and_then(|(room, number)| {
        let room = room.parse().ok()?;
        Some((room, number.parse().ok()?))
    });
    if let Some((room, number)) = parts {
        sink.refused(room, number, why);
    }
}

fn hello(token: &str) -> String {
    format!(r#"{{"id":{HELLO},"type":"session:hello","data":{{"token":"{token}"}}}}"#)
}

fn subscribe(conversations: &[&str]) -> String {
    let cursors: Vec<String> = (conversations.iter())
        .map(|id| format!(r#"{{"conversation":"{id}"}}"#))
        .collect();
    format!(
        r#"{{"id":{SUBSCRIBE},"type":"conversations:subscribe","data":{{"cursors":[{}]}}}}"#,
        cursors.join(",")
    )
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Any frame of the server, as far as the generator wants to know.
#[derive(Debug, Deserialize)]
struct Slow<'a> {
    #[serde(borrow)]
    re: Option<Re<'a>>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    conversation: Option<&'a str>,
    seq: Option<u64>,
    data: Option<Data<'a>>,
    error: Option<Refused<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Re<'a> {
    Number(u64),
    Text(#[serde(borrow)] &'a str),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refused<'a> {
    code: Option<&'a str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    key: Option<std::borrow::Cow<'a, str>>,
    code: Option<&'a str>,
    #[serde(borrow)]
    subscribed: Vec<Cursor<'a>>,
    #[serde(borrow)]
    resync: Vec<Cursor<'a>>,
    #[serde(borrow)]
    gone: Vec<Cursor<'a>>,
    message: Option<SlowMessage>,
}

#[derive(Debug, Deserialize)]
struct Cursor<'a> {
    conversation: &'a str,
}

/// Replies name a message by value, some events by its id alone.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SlowMessage {
    Whole { text: String },
    Id(serde::de::IgnoredAny),
}
