//! MessagePack on sockets and in bodies and answers, byte by byte.

use fanfare_protocol::Codec;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::house::{House, PATIENCE};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

fn packed(value: &Value) -> Vec<u8> {
    Codec::MessagePack.encode(value).unwrap().to_vec()
}

/// A frame whose mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let head = match u8::try_from(payload.len()) {
        Ok(short @ ..=125) => vec![first, 0x80 | short],
        _ => {
            let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
            [&[first, 0x80 | 126], &length[..]].concat()
        }
    };
    [&head[..], &[0; 4], payload].concat()
}

struct Socket {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Socket {
    async fn open(house: &House, bearer: &[u8]) -> Self {
        let head = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Sec-WebSocket-Protocol: fanfare.v1.msgpack\r\n";
        let mut stream = house.tcp().await;
        let request = [head.as_bytes(), bearer, b"\r\n\r\n"].concat();
        stream.write_all(&request).await.unwrap();
        let bytes = Vec::new();
        let mut socket = Self { stream, bytes };
        let head = loop {
            match socket.bytes.windows(4).position(|at| at == b"\r\n\r\n") {
                Some(end) => break socket.bytes.drain(..end + 4).collect(),
                None => socket.fill().await,
            }
        };
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        assert!(
            head.contains("sec-websocket-protocol: fanfare.v1.msgpack"),
            "{head}"
        );
        socket
            .say(&json!({"id": 0, "type": "session:hello", "data": {}}))
            .await;
        assert_eq!(socket.hear().await["re"], 0);
        socket
    }

    async fn fill(&mut self) {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await;
        assert!(read.unwrap().unwrap() > 0, "the end");
    }

    async fn write(&mut self, first: u8, payload: &[u8]) {
        self.stream.write_all(&frame(first, payload)).await.unwrap();
    }

    async fn say(&mut self, value: &Value) {
        self.write(BINARY, &packed(value)).await;
    }

    /// The next frame but pings.
    async fn receive(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let [first, second, ..] = self.bytes[..] {
                let head = if second == 126 { 4 } else { 2 };
                if self.bytes.len() >= head {
                    let length = match second {
                        126 => u16::from_be_bytes([self.bytes[2], self.bytes[3]]).into(),
                        short => usize::from(short),
                    };
                    if self.bytes.len() >= head + length {
                        let payload = self.bytes.drain(..head + length).skip(head).collect();
                        if first == 0x89 {
                            continue;
                        }
                        return (first, payload);
                    }
                }
            }
            self.fill().await;
        }
    }

    async fn hear(&mut self) -> Value {
        let (first, payload) = self.receive().await;
        assert_eq!(first, BINARY, "{payload:?}");
        Codec::MessagePack.decode(&payload).unwrap()
    }

    async fn closed(&mut self) -> u16 {
        let (first, payload) = self.receive().await;
        assert_eq!(first, CLOSE, "{payload:?}");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_events_and_signals_are_binary_frames() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    let room = json!({"kind": "group", "title": "x"});
    let room = house.post("/api/v1/conversations", &[&alice], room).await;
    let room = room.json()["data"]["id"].clone();
    let mut socket = Socket::open(&house, &alice).await;
    socket
        .say(&json!({"id": "s", "type": "message:send", "key": "k",
                     "data": {"conversation": room, "text": "ä\u{0}🦊"}}))
        .await;
    let (mut reply, mut event) = (Value::Null, Value::Null);
    while reply.is_null() || event.is_null() {
        let heard = socket.hear().await;
        if heard["re"] == "s" {
            reply = heard;
        } else if heard["type"] == "message:received" {
            event = heard;
        }
    }
    assert_eq!(event["data"], reply["data"]);
    assert_eq!(event["data"]["message"]["text"], "ä\u{0}🦊");
    assert_eq!(event["conversation"], room);
    assert_eq!(event["seq"], reply["data"]["message"]["seq"]);
    // Without an id: a signal.
    socket.say(&json!({"type": "no:such", "key": "k"})).await;
    let mut error = socket.hear().await;
    while error["type"] == "unread:update" {
        error = socket.hear().await;
    }
    assert_eq!(error["type"], "error");
    assert_eq!(error["data"]["code"], "unknown_type");
    assert_eq!(error["data"]["key"], "k");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_and_the_socket_stays() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    let mut socket = Socket::open(&house, &alice).await;
    let wrong: [(&[u8], &str); 7] = [
        (b"", "invalid_frame"),
        (b"\xc1", "invalid_frame"),
        (b"{\"id\":1}", "invalid_frame"),
        (b"\xdf\xff\xff\xff\xff", "invalid_frame"),
        (b"\x82\xa2id\x01\xa4type\xc4\x01x", "invalid_request"),
        (
            b"\x83\xa2id\x01\xa4type\xacsession:ping\xa4more\xc0",
            "invalid_request",
        ),
        (
            b"\x83\xa2id\x01\xa4type\xacsession:ping\xa4data\x90",
            "invalid_request",
        ),
    ];
    for (bytes, code) in wrong {
        socket.write(BINARY, bytes).await;
        let heard = socket.hear().await;
        let said = match heard.get("re") {
            Some(re) => {
                assert_eq!(re, 1, "{bytes:?}");
                &heard["error"]
            }
            None => &heard["data"],
        };
        assert_eq!(said["code"], code, "{bytes:?}: {heard}");
    }
    socket.say(&json!({"id": 2, "type": "session:ping"})).await;
    assert_eq!(socket.hear().await, json!({"re": 2, "data": {}}));
    socket
        .write(TEXT, br#"{"id":3,"type":"session:ping"}"#)
        .await;
    assert_eq!(socket.closed().await, 1003);
}

/// The head says MessagePack; the rest is what it stands for.
async fn ask(
    house: &House,
    method: &str,
    path: &str,
    lines: &[&[u8]],
    body: &[u8],
) -> (u16, Value) {
    let (head, body) = house.bytes_of(method, path, lines, body).await;
    let head = head.to_ascii_lowercase();
    assert!(head.contains("content-type: application/msgpack"), "{head}");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, Codec::MessagePack.decode(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_and_answers_in_messagepack() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    let accept: &[u8] = b"Accept: application/msgpack";
    let lines: [&[u8]; 3] = [&alice, accept, b"Content-Type: application/vnd.msgpack"];
    let path = "/api/v1/conversations";
    let room = packed(&json!({"kind": "group", "title": "ä"}));
    let (status, room) = ask(&house, "POST", path, &lines, &room).await;
    assert_eq!((status, &room["data"]["title"]), (201, &json!("ä")));
    let more = packed(&json!({"kind": "group", "title": "x", "extra": 1}));
    let (status, refused) = ask(&house, "POST", path, &lines, &more).await;
    assert_eq!(status, 422);
    assert_eq!(
        refused["error"]["details"],
        json!({"extra": "unknown field"})
    );
    let (status, refused) = ask(&house, "POST", path, &lines, b"\x81\xa4kind").await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (400, &json!("invalid_frame"))
    );
    // Where there is no route, and before it is known who asks.
    assert_eq!(ask(&house, "GET", "/nowhere", &[accept], b"").await.0, 404);
    assert_eq!(ask(&house, "GET", path, &[accept], b"").await.0, 401);
    // Asked in MessagePack, answered in JSON.
    let lines: [&[u8]; 2] = [&alice, b"Content-Type: application/x-msgpack"];
    let text = packed(&json!({"text": "hello"}));
    let path = format!("{path}/{}/messages", room["data"]["id"].as_str().unwrap());
    let answer = house.try_ask("POST", &path, &lines, &text).await.unwrap();
    assert_eq!(
        (answer.status, &answer.json()["data"]["text"]),
        (201, &json!("hello"))
    );
}
