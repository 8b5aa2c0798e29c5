//! Fanfare's event streams: hello is POSTed, then what the server says comes
//! down one long answer on the same connection, in chunks. Publishers speak
//! WebSocket as ever, so that only the way down differs.

use std::collections::HashSet;

use serde::Deserialize;

use super::fanfare::{self, Fanfare};
use super::{Dialect, Message, Sink, Who, http};

/// The dialect.
#[derive(Debug)]
pub struct Events {
    /// What publishers speak; reads the events too.
    pub fanfare: Fanfare,
    /// Tokens of those who publish.
    pub publishers: HashSet<String>,
}

/// How far a connection has come.
#[derive(Debug, Default)]
pub struct Link {
    stage: Stage,
    /// The publisher's own, and what reading events slowly remembers.
    fanfare: fanfare::Link,
    /// The beginning of an event whose end is in the next chunk.
    rest: Vec<u8>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The answer to hello is awaited.
    #[default]
    Hello,
    /// The head of the stream is.
    Head,
    /// Chunks come.
    Chunks,
}

/// The answer to hello, as far as the generator wants to know.
#[derive(Deserialize)]
struct Begun {
    data: BegunData,
}

#[derive(Deserialize)]
struct BegunData {
    ticket: String,
    #[serde(default)]
    subscribed: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    resync: Vec<serde::de::IgnoredAny>,
}

impl Dialect for Events {
    type Link = Link;

    fn open(&self, link: &mut Link, who: &Who<'_>, out: &mut Vec<u8>) {
        if self.publishers.contains(who.token) {
            return self.fanfare.open(&mut link.fanfare, who, out);
        }
        let request = format!(
            "POST /api/v1/session HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
            who.host, who.token
        );
        out.extend_from_slice(request.as_bytes());
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
        if link.stage != Stage::Chunks && self.publishers.contains(who.token) {
            return self.fanfare.read(&mut link.fanfare, who, bytes, sink);
        }
        while link.stage != Stage::Chunks {
            match begin(link, who, &bytes[used..], sink)? {
                0 => return Ok(used),
                length => used += length,
            }
        }
        while let Some((chunk, length)) = chunk(&bytes[used..])? {
            self.events(link, who, chunk, sink)?;
            used += length;
        }
        Ok(used)
    }

    fn publish(&self, link: &mut Link, who: &Who<'_>, message: &Message, out: &mut Vec<u8>) {
        self.fanfare.publish(&mut link.fanfare, who, message, out);
    }
}

impl Events {
    /// Events end with an empty line; where chunks end is the server's choice.
    fn events<S: Sink>(
        &self,
        link: &mut Link,
        who: &Who<'_>,
        chunk: &[u8],
        sink: &mut S,
    ) -> Result<(), String> {
        let mut rest = std::mem::take(&mut link.rest);
        let whole = if rest.is_empty() {
            chunk
        } else {
            rest.extend_from_slice(chunk);
            &rest
        };
        let mut at = 0;
        while let Some(length) = whole[at..].windows(2).position(|two| two == b"\n\n") {
            let event = &whole[at..at + length];
            at += length + 2;
            match event.strip_prefix(b"data: ") {
                Some(payload) => match self.fanfare.delivery(payload) {
                    Some(delivery) => sink.delivery(delivery),
                    None => self.fanfare.slowly(&mut link.fanfare, who, payload, sink)?,
                },
                None if event == b":" => sink.other(),
                None => return Err(format!("closed: {}", String::from_utf8_lossy(event))),
            }
        }
        link.rest = whole[at..].to_vec();
        Ok(())
    }
}

/// The answer to hello and the head of the stream; the bytes they took.
fn begin<S: Sink>(
    link: &mut Link,
    who: &Who<'_>,
    bytes: &[u8],
    sink: &mut S,
) -> Result<usize, String> {
    let Some(head) = http::head(bytes)? else {
        return Ok(0);
    };
    if link.stage == Stage::Head {
        http::expect(bytes, b"HTTP/1.1 200 ")?;
        link.stage = Stage::Chunks;
        sink.ready();
        return Ok(head);
    }
    let length = http::content_length(&bytes[..head]).ok_or("an answer of no length")?;
    let Some(body) = bytes.get(head..head + length) else {
        return Ok(0);
    };
    http::expect(bytes, b"HTTP/1.1 201 ")?;
    let begun: Begun = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let data = begun.data;
    let subscribed = data.subscribed.len() + data.resync.len();
    if subscribed < who.rooms.len() {
        let wanted = who.rooms.len();
        return Err(format!("subscribed to {subscribed} of {wanted} rooms"));
    }
    let request = format!(
        "GET /api/v1/session/events?ticket={} HTTP/1.1\r\nHost: {}\r\n\r\n",
        data.ticket, who.host
    );
    sink.answer().extend_from_slice(request.as_bytes());
    link.stage = Stage::Head;
    Ok(head + length)
}

/// The next chunk (RFC 9112, 7.1) and the bytes it takes with its framing.
#[inline]
fn chunk(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, String> {
    let mut length = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if at > 0 => {
                let end = at + 2 + length;
                if length == 0 {
                    return Err("the stream ended".into());
                }
                let whole = bytes.len() >= end + 2;
                return Ok(whole.then(|| (&bytes[at + 2..end], end + 2)));
            }
            _ => return Err("no chunk".into()),
        };
        if at == 7 {
            return Err("a chunk above 256 MiB".into());
        }
        length = length << 4 | usize::from(digit);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Heard, exchanged, split};
    use super::*;

    const ROOM: &str = "0199f0a2-1111-7000-8000-00000000c0de";
    const WHO: Who<'_> = Who {
        host: "h",
        path: "/ws",
        rooms: &[0],
        token: "t",
    };

    fn events() -> Events {
        let fanfare = Fanfare::new(vec![ROOM.to_owned()], "run".into(), false);
        Events {
            fanfare: fanfare.unwrap(),
            publishers: HashSet::new(),
        }
    }

    fn event(number: u32) -> String {
        let text = format!("{number:016x}{:016x}", 7);
        format!(
            "data: {{\"type\":\"message:received\",\"conversation\":\"{ROOM}\",\"seq\":{number},\
             \"data\":{{\"message\":{{\"text\":\"{text}\"}}}}}}\n\n"
        )
    }

    fn session(subscribed: &str, chunks: &[&str]) -> Vec<u8> {
        let body = format!(r#"{{"data":{{"id":"i","ticket":"T","subscribed":{subscribed}}}}}"#);
        let mut all = format!(
            "HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n{body}\
             HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            body.len()
        );
        for chunk in chunks {
            all += &format!("{:X}\r\n{chunk}\r\n", chunk.len());
        }
        all.into_bytes()
    }

    #[test]
    fn events_are_read_wherever_chunks_and_reads_are_split() {
        let both = event(1) + &event(2);
        let (start, end) = both.split_at(both.len() / 3);
        let whole = [":\n\n", start, end, &event(3)];
        let bytes = session("[{}]", &whole);
        for at in 1..bytes.len() {
            let pieces = split(&bytes, &[at, at / 2]);
            let (told, _) = exchanged(&events(), &WHO, &pieces).unwrap();
            let numbers: Vec<u64> = (told.iter())
                .filter_map(|it| match it {
                    Heard::Delivery(delivery) => Some(delivery.number),
                    _ => None,
                })
                .collect();
            assert_eq!(told[0], Heard::Ready);
            assert_eq!(numbers, [1, 2, 3], "split at {at}");
        }
    }

    #[test]
    fn what_is_no_stream_is_said() {
        let refused = |bytes: &[u8]| exchanged(&events(), &WHO, &[bytes]).unwrap_err();
        assert!(refused(&session("[]", &[])).contains("0 of 1 rooms"));
        let closed = session("[{}]", &["event: close\ndata: {}\n\n"]);
        assert!(refused(&closed).contains("closed: event: close"));
        let end = [session("[{}]", &[]), b"0\r\n\r\n".to_vec()].concat();
        assert!(refused(&end).contains("ended"));
        let full = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        assert!(refused(full).contains("503"));
    }
}
