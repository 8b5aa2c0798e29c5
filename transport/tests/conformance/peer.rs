//! A client that writes every byte by hand (RFC 6455 §5.2).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::echo::Echo;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;
pub const FINAL: u8 = 0x80;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// With its code and reason.
    Close(Option<u16>, String),
    /// The server ended its side in order.
    End,
    /// The connection broke.
    Reset,
}

/// A masked frame whose first byte is given, flags and all.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
    frame
}

/// A whole text message.
pub fn text(payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(FINAL | TEXT, payload.as_ref())
}

/// A close frame with these bytes.
pub fn close(payload: &[u8]) -> Vec<u8> {
    frame(FINAL | CLOSE, payload)
}

/// A message cut into pieces of at most `bytes`; one of nothing has one.
pub fn fragments(opcode: u8, payload: &[u8], bytes: usize) -> Vec<Vec<u8>> {
    let mut pieces: Vec<&[u8]> = payload.chunks(bytes).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let last = pieces.len() - 1;
    let pieces = pieces.into_iter().enumerate();
    pieces
        .map(|(at, piece)| {
            let opcode = if at == 0 { opcode } else { CONTINUATION };
            frame(if at == last { FINAL | opcode } else { opcode }, piece)
        })
        .collect()
}

/// One connection after its handshake.
pub struct Peer {
    pub inbox: Inbox,
    pub to: OwnedWriteHalf,
}

/// Its reading side.
pub struct Inbox {
    from: OwnedReadHalf,
    bytes: Vec<u8>,
}

impl Peer {
    pub async fn connect(echo: &Echo) -> Self {
        let stream = TcpStream::connect(echo.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (from, to) = stream.into_split();
        let bytes = Vec::new();
        let inbox = Inbox { from, bytes };
        let mut peer = Self { inbox, to };
        peer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
        let head_bytes = loop {
            let bytes = &peer.inbox.bytes;
            match bytes.windows(4).position(|at| at == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => assert!(matches!(peer.inbox.fill().await, Ok(1..)), "no answer"),
            }
        };
        let head: Vec<u8> = peer.inbox.bytes.drain(..head_bytes).collect();
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
        peer
    }

    /// Writes; a server that has closed already need not take all of it.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.to.write_all(bytes)).await.unwrap();
    }

    /// The next message or control frame.
    pub async fn receive(&mut self) -> Received {
        self.inbox.receive().await
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Vec<Received> {
        let mut rest = Vec::new();
        loop {
            rest.push(self.receive().await);
            if let Some(Received::End | Received::Reset) = rest.last() {
                return rest;
            }
        }
    }
}

impl Inbox {
    /// The next message or control frame.
    pub async fn receive(&mut self) -> Received {
        loop {
            if let Some(received) = self.whole_frame() {
                return received;
            }
            match self.fill().await {
                Ok(0) if self.bytes.is_empty() => return Received::End,
                Ok(0) => panic!("the end came within a frame"),
                Ok(_) => {}
                Err(_) => return Received::Reset,
            }
        }
    }

    async fn fill(&mut self) -> std::io::Result<usize> {
        let read = timeout(PATIENCE, self.from.read_buf(&mut self.bytes)).await;
        read.expect("something comes in time")
    }

    /// **Invariant:** the server sends whole, unmasked frames in their
    /// shortest form, without reserved bits.
    fn whole_frame(&mut self) -> Option<Received> {
        let &[first, second, ..] = &self.bytes[..] else {
            return None;
        };
        let (length, head) = match second {
            0..=125 => (usize::from(second), 2),
            126 => {
                let length = u16::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?);
                assert!(length > 125, "a shorter form exists");
                (usize::from(length), 4)
            }
            127 => {
                let length = u64::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?);
                assert!(length > 0xFFFF, "a shorter form exists");
                (usize::try_from(length).unwrap(), 10)
            }
            _ => panic!("a masked frame from the server"),
        };
        if self.bytes.len() < head + length {
            return None;
        }
        let payload: Vec<u8> = self.bytes.drain(..head + length).skip(head).collect();
        Some(match first {
            0x81 => Received::Text(payload),
            0x82 => Received::Binary(payload),
            0x8A => Received::Pong(payload),
            0x88 => match payload.split_first_chunk() {
                Some((code, reason)) => Received::Close(
                    Some(u16::from_be_bytes(*code)),
                    String::from_utf8(reason.to_vec()).unwrap(),
                ),
                None => Received::Close(None, String::new()),
            },
            other => panic!("a frame that begins with {other:#x}"),
        })
    }
}
