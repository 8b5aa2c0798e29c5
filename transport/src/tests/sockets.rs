//! Sockets from the upgrade to their end, byte by byte.

use std::time::Duration;

use fanfare_actors::rates::Rates;
use fanfare_protocol::Limits;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::house::{House, PATIENCE};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// What the server sent.
#[derive(Debug, PartialEq)]
enum Received {
    Text(Value),
    Pong(Vec<u8>),
    Close(u16),
    End,
}

struct Socket {
    stream: TcpStream,
    bytes: Vec<u8>,
}

fn upgrade(query: &str, lines: &[&[u8]]) -> Vec<u8> {
    let mut request = format!(
        "GET /ws{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    .into_bytes();
    for line in lines {
        request.extend([line, &b"\r\n"[..]].concat());
    }
    request.extend(b"\r\n");
    request
}

/// A masked frame of at most 125 bytes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length <= 125);
    let masked = payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b);
    [first, 0x80 | length]
        .into_iter()
        .chain(MASK)
        .chain(masked)
        .collect()
}

fn text(json: &Value) -> Vec<u8> {
    frame(TEXT, json.to_string().as_bytes())
}

fn hello(id: u64) -> Vec<u8> {
    text(&json!({"id": id, "type": "session:hello", "data": {}}))
}

fn ping(id: u64) -> Vec<u8> {
    text(&json!({"id": id, "type": "session:ping", "data": {}}))
}

impl Socket {
    /// Asks for an upgrade, with what follows in the same write; gives the
    /// status.
    async fn try_open(house: &House, query: &str, lines: &[&[u8]], then: &[u8]) -> (u16, Self) {
        let mut stream = house.tcp().await;
        let request = [&upgrade(query, lines), then].concat();
        stream.write_all(&request).await.unwrap();
        let mut socket = Self {
            stream,
            bytes: Vec::new(),
        };
        let head_bytes = loop {
            let end = socket.bytes.windows(4).position(|at| at == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => assert!(socket.fill().await, "no answer"),
            }
        };
        let head: Vec<u8> = socket.bytes.drain(..head_bytes).collect();
        let head = String::from_utf8(head).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), socket)
    }

    async fn open(house: &House, bearer: &[u8]) -> Self {
        let (status, mut socket) = Self::try_open(house, "", &[bearer], &hello(0)).await;
        assert_eq!(status, 101);
        assert_eq!(socket.reply().await["re"], 0);
        socket
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await;
        matches!(read.expect("nothing came in time"), Ok(1..))
    }

    async fn receive(&mut self) -> Received {
        loop {
            if let [first, second, ..] = self.bytes[..] {
                let (length, head) = match second {
                    126 if self.bytes.len() < 4 => (usize::MAX - 4, 4),
                    126 => (
                        usize::from(u16::from_be_bytes([self.bytes[2], self.bytes[3]])),
                        4,
                    ),
                    127 => panic!("no frame is that large"),
                    short => (usize::from(short), 2),
                };
                if self.bytes.len() >= head + length {
                    let payload: Vec<u8> = self.bytes.drain(..head + length).skip(head).collect();
                    match first {
                        0x81 => return Received::Text(serde_json::from_slice(&payload).unwrap()),
                        0x88 => {
                            return Received::Close(u16::from_be_bytes([payload[0], payload[1]]));
                        }
                        0x8A => return Received::Pong(payload),
                        0x89 => continue,
                        other => panic!("frame {other:#x}"),
                    }
                }
            }
            if !self.fill().await {
                return Received::End;
            }
        }
    }

    async fn reply(&mut self) -> Value {
        match self.receive().await {
            Received::Text(reply) => reply,
            other => panic!("{other:?} in place of a reply"),
        }
    }

    /// Everything up to the end.
    async fn rest(&mut self) -> Vec<Received> {
        let mut rest = Vec::new();
        loop {
            match self.receive().await {
                Received::End => return rest,
                received => rest.push(received),
            }
        }
    }
}

async fn ticket(house: &House, bearer: &[u8]) -> String {
    let answer = house
        .post("/api/v1/auth/ticket", &[bearer], json!({}))
        .await;
    let ticket = answer.json()["data"]["ticket"].clone();
    ticket.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_judged_before_the_upgrade() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    let ticket = ticket(&house, &alice).await;
    let good = format!("?ticket={ticket}");
    let (status, mut socket) = Socket::try_open(&house, &good, &[], &hello(1)).await;
    assert_eq!(status, 101);
    assert!(socket.reply().await["data"]["session"].is_string());
    let origin: &[u8] = b"Origin: https://evil.example";
    let listed: &[u8] = b"Origin: https://app.example.org";
    let other_scheme: &[u8] = b"Authorization: Basic YTpi";
    let nonsense: &[u8] = b"Authorization: Bearer nonsense";
    for (query, lines, expected) in [
        (&good[..], &[][..], 401), // once only
        ("?ticket=nonsense", &[], 401),
        ("?ticket=a&ticket=b", &[], 422),
        ("?page=1", &[], 422),
        ("?token=x", &[], 400),
        ("?accessToken=x", &[&alice[..]], 400),
        ("", &[nonsense], 401),
        ("", &[other_scheme], 401),
        ("", &[&alice, &alice], 401),
        ("", &[origin, &alice], 403),
        ("", &[listed, &alice], 101),
        ("", &[], 101),
    ] {
        let (status, _) = Socket::try_open(&house, query, lines, b"").await;
        assert_eq!(status, expected, "{query} {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_answered_however_their_bytes_come() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    // With the upgrade in one write, and cut in the middle of it.
    let early = hello(1);
    for cut in [0, 1, 7, early.len() / 2, early.len()] {
        let (status, mut socket) = Socket::try_open(&house, "", &[&alice], &early[..cut]).await;
        assert_eq!(status, 101);
        socket.write(&early[cut..]).await;
        assert_eq!(socket.reply().await["re"], 1, "cut at {cut}");
    }
    let mut socket = Socket::open(&house, &alice).await;
    for byte in ping(2) {
        socket.write(&[byte]).await;
    }
    assert_eq!(socket.reply().await["re"], 2);
    let many: Vec<u8> = (10..50).flat_map(ping).collect();
    socket.write(&many).await;
    for id in 10..50 {
        assert_eq!(socket.reply().await["re"], id);
    }
    // A ping between two halves of a message.
    let (first, last) = (
        frame(0x01, b"{\"id\":3,\"type\":\"session:ping\","),
        frame(0x80, b"\"data\":{}}"),
    );
    socket
        .write(&[first, frame(PING, b"between"), last].concat())
        .await;
    assert_eq!(socket.receive().await, Received::Pong(b"between".to_vec()));
    assert_eq!(socket.reply().await["re"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_answered_and_the_socket_lives() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    let mut socket = Socket::open(&house, &alice).await;
    for (sent, re, code) in [
        ("{", Value::Null, "invalid_frame"),
        ("[]", Value::Null, "invalid_frame"),
        (
            r#"{"id":1,"type":"nonsense","data":{}}"#,
            json!(1),
            "unknown_type",
        ),
        (
            r#"{"id":2,"type":"session:ping","data":{"x":1}}"#,
            json!(2),
            "invalid_request",
        ),
        (
            r#"{"type":"session:ping","data":7}"#,
            Value::Null,
            "invalid_request",
        ),
    ] {
        socket.write(&frame(TEXT, sent.as_bytes())).await;
        let reply = socket.reply().await;
        assert_eq!(reply["re"], re, "{sent}: {reply}");
        let error = if re.is_null() {
            &reply["data"]
        } else {
            &reply["error"]
        };
        assert_eq!(error["code"], code, "{sent}: {reply}");
    }
    socket.write(&ping(9)).await;
    assert_eq!(socket.reply().await["re"], 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fault_nothing_is_done_and_the_connection_ends() {
    let limits = Limits {
        inbound_message_ms_max: 200,
        ..Limits::default()
    };
    let house = House::with(limits, Rates::off()).await;
    let alice = house.register("alice").await;
    let unmasked = [&[TEXT, 2][..], b"{}"].concat();
    let ping_bytes = ping(1);
    for (what, bytes, code) in [
        ("binary", frame(BINARY, b"x"), 1003),
        ("unmasked", unmasked, 1002),
        ("no UTF-8", frame(TEXT, b"\xff"), 1007),
        (
            "an honest close",
            frame(CLOSE, &1000_u16.to_be_bytes()),
            1000,
        ),
        ("a close without code", frame(CLOSE, b""), 1000),
        ("half a header", ping_bytes[..1].to_vec(), 1008),
        ("half a message", ping_bytes[..20].to_vec(), 1008),
        ("no last fragment", frame(0x01, b"{"), 1008),
    ] {
        let mut socket = Socket::open(&house, &alice).await;
        socket.write(&bytes).await;
        if code != 1008 {
            // In the same breath, if the reader is slow, or right after.
            socket
                .write(&[ping(2), frame(PING, b"late")].concat())
                .await;
        }
        assert_eq!(socket.rest().await, [Received::Close(code)], "{what}");
    }
    for bytes in [frame(BINARY, b"x"), frame(CLOSE, b"")] {
        let mut socket = Socket::open(&house, &alice).await;
        // In one write: what stands behind the fault is not acted on.
        socket
            .write(&[ping(1), bytes, ping(2), frame(PING, b"x")].concat())
            .await;
        let rest = socket.rest().await;
        assert!(matches!(rest.last(), Some(Received::Close(_))), "{rest:?}");
        let pongs = rest.iter().filter(|it| matches!(it, Received::Pong(_)));
        assert_eq!(pongs.count(), 0, "{rest:?}");
        let second = rest
            .iter()
            .any(|it| matches!(it, Received::Text(reply) if reply["re"] == 2));
        assert!(!second, "{rest:?}");
    }
    timeout(PATIENCE, house.open.all_closed()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_behind_a_fault_is_not_done() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    let room = json!({"kind": "group", "title": "x"});
    let room = house.post("/api/v1/conversations", &[&alice], room).await;
    let room = room.json()["data"]["id"].as_str().unwrap().to_owned();
    let send = json!({"type": "message:send", "data": {"conversation": &room, "text": "x"}});
    let send = text(&send);
    let path = format!("/api/v1/conversations/{room}/messages");
    let mut socket = Socket::open(&house, &alice).await;
    let both = [&send[..], &frame(BINARY, b"x"), &send].concat();
    socket.write(&both).await;
    let rest = socket.rest().await;
    assert_eq!(rest.last(), Some(&Received::Close(1003)), "{rest:?}");
    let said = house.post(&path, &[&alice], json!({"text": "last"})).await;
    assert_eq!(said.status, 201, "{said:?}");
    // The session may take its one frame up after the socket is closed.
    let mut texts = Vec::new();
    let deadline = std::time::Instant::now() + PATIENCE;
    while texts.len() < 2 && std::time::Instant::now() < deadline {
        let history = house.ask("GET", &path, &[&alice]).await.json();
        let messages = history["data"].as_array().unwrap().iter();
        texts = messages.map(|it| it["text"].to_string()).collect();
        tokio::task::yield_now().await;
    }
    texts.sort();
    assert_eq!(texts, [r#""last""#, r#""x""#]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_may_take_its_time_but_not_more_for_every_byte() {
    let limits = Limits {
        inbound_message_ms_max: 300,
        ..Limits::default()
    };
    let house = House::with(limits, Rates::off()).await;
    let alice = house.register("alice").await;
    let mut socket = Socket::open(&house, &alice).await;
    let begin = tokio::time::Instant::now();
    let mut trickle = tokio::time::interval(Duration::from_millis(20));
    let code = loop {
        tokio::select! {
            received = socket.receive() => break received,
            // Fragments of one byte: valid, and never the last.
            _ = trickle.tick() => {}
        }
        let piece = if begin.elapsed() < Duration::from_millis(20) {
            0x01
        } else {
            0x00
        };
        // The server may have gone already: then `receive` says so.
        let _ = socket.stream.write_all(&frame(piece, b"x")).await;
    };
    assert_eq!(code, Received::Close(1008));
    assert!(begin.elapsed() >= Duration::from_millis(300));
    // Silence between messages is no fault, longer than a message may take.
    let mut idle = Socket::open(&house, &alice).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    idle.write(&ping(1)).await;
    assert_eq!(idle.reply().await["re"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_is_not_read_and_then_closed() {
    let limits = Limits {
        slow_reader_ms_max: 500,
        ..Limits::default()
    };
    let house = House::with(limits, Rates::off()).await;
    let alice = house.register("alice").await;
    let mut socket = Socket::open(&house, &alice).await;
    let pings = frame(PING, &[b'x'; 125]).repeat(1000);
    let flood = async {
        let mut written = 0_usize;
        while socket.stream.write_all(&pings).await.is_ok() {
            written += pings.len();
        }
        written
    };
    let written = timeout(PATIENCE, flood).await.unwrap();
    // What two kernels hold, and little of ours.
    assert!(written < 64 << 20, "{written} bytes were taken");
    timeout(PATIENCE, house.open.all_closed()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ends_only_its_own_side_still_gets_every_reply() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    let room = json!({"kind": "group", "title": "x"});
    let room = house.post("/api/v1/conversations", &[&alice], room).await;
    let room = room.json()["data"]["id"].as_str().unwrap().to_owned();
    let mut socket = Socket::open(&house, &alice).await;
    let send = |id: u64| {
        let data = json!({"conversation": &room, "text": "x"});
        text(&json!({"id": id, "type": "message:send", "data": data}))
    };
    // Commands take a commit each before they are answered.
    let all: Vec<u8> = (1..=20)
        .flat_map(|id| [send(id), ping(100 + id)].concat())
        .collect();
    socket.write(&all).await;
    socket.stream.shutdown().await.unwrap();
    let rest = socket.rest().await;
    assert_eq!(rest.last(), Some(&Received::Close(1000)), "{rest:?}");
    let mut replies: Vec<u64> = rest
        .iter()
        .filter_map(|it| match it {
            Received::Text(reply) => reply["re"].as_u64(),
            _ => None,
        })
        .collect();
    replies.sort_unstable();
    let asked: Vec<u64> = (1..=20).chain(101..=120).collect();
    assert_eq!(replies, asked);
    timeout(PATIENCE, house.open.all_closed()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_of_a_client_that_vanishes_ends_at_once() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    let gateway = house.node.gateway();
    let socket = Socket::open(&house, &alice).await;
    assert_eq!(gateway.sessions().logins().len(), 1);
    drop(socket);
    // Long before the heartbeat would find out.
    let heartbeat = Duration::from_millis(Limits::default().heartbeat_ms);
    let gone = async {
        while !gateway.sessions().logins().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(heartbeat / 4, gone).await.unwrap();
}
