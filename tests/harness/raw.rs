//! Bytes that no honest client sends: HTTP and WebSocket by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::SOON;
use super::dial::{Duplex, dial, over};

/// Opcodes of RFC 6455, 5.2.
pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;

/// One client frame, to be written wrongly on purpose.
#[derive(Debug, Clone)]
pub struct Frame {
    /// FIN (0x80), RSV (0x70) and opcode.
    pub first: u8,
    pub masked: bool,
    pub payload: Vec<u8>,
}

impl Frame {
    /// A whole, masked frame.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            first: 0x80 | opcode,
            masked: true,
            payload: payload.into(),
        }
    }

    /// Without FIN.
    pub fn unfinished(mut self) -> Self {
        self.first &= 0x7f;
        self
    }

    pub fn unmasked(mut self) -> Self {
        self.masked = false;
        self
    }

    /// With these RSV bits.
    pub fn reserved(mut self, bits: u8) -> Self {
        self.first |= bits;
        self
    }

    /// Its bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mask_bit = if self.masked { 0x80 } else { 0 };
        let mut bytes = vec![self.first];
        match self.payload.len() {
            length @ 0..=125 => bytes.push(mask_bit | u8::try_from(length).unwrap()),
            length @ 126..=0xffff => {
                bytes.push(mask_bit | 126);
                bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                bytes.push(mask_bit | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if self.masked {
            let mask = [0x12, 0x34, 0x56, 0x78];
            bytes.extend_from_slice(&mask);
            bytes.extend(
                self.payload
                    .iter()
                    .zip(mask.iter().cycle())
                    .map(|(byte, mask)| byte ^ mask),
            );
        } else {
            bytes.extend_from_slice(&self.payload);
        }
        bytes
    }
}

/// What the server sent over a raw socket.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    Text(Value),
    Pong(Vec<u8>),
    /// A close frame with its code (1005 when it had none).
    Close(u16),
    /// The connection ended without a close frame.
    End,
}

/// A connection, upgraded or not.
pub struct Raw {
    stream: Box<dyn Duplex>,
    buffer: Vec<u8>,
}

impl Raw {
    /// Only the connection.
    pub async fn connect(address: SocketAddr) -> Self {
        Self {
            stream: dial(address).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    /// From another address of this machine (127.0.0.0/8), with a receive buffer that
    /// is soon full.
    pub async fn connect_from(address: SocketAddr, from: Ipv4Addr) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // Only now does the size of the window follow it.
        socket.set_recv_buffer_size(4096)?;
        socket.bind(SocketAddr::from((from, 0)))?;
        Ok(Self {
            stream: over(socket.connect(address).await?, address).await?,
            buffer: Vec::new(),
        })
    }

    /// Upgraded, without credentials.
    pub async fn upgrade(address: SocketAddr) -> Self {
        Self::connect(address).await.upgraded(address).await
    }

    /// The same on a connection that is there.
    pub async fn upgraded(mut self, address: SocketAddr) -> Self {
        let head = self.request(&upgrade_request(address, "")).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        self
    }

    /// Upgraded, with a bearer token, after hello.
    pub async fn hello(address: SocketAddr, token: &str) -> Self {
        Self::upgrade(address).await.greeted(token).await
    }

    /// Says hello on an upgraded connection.
    pub async fn greeted(mut self, token: &str) -> Self {
        let hello = serde_json::json!({"id": 0, "type": "session:hello", "data": {"token": token, "device": {"kind": "bot"}}});
        self.frame(&Frame::new(TEXT, hello.to_string())).await;
        match self.receive().await {
            Received::Text(reply) => assert!(reply["error"].is_null(), "{reply}"),
            other => panic!("{other:?}"),
        }
        self
    }

    /// Says that nothing more comes.
    pub async fn say_end(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Writes bytes; false when the server has cut the connection.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    pub async fn frame(&mut self, frame: &Frame) -> bool {
        self.write(&frame.bytes()).await
    }

    /// Writes a request and reads up to the end of the answer's head.
    pub async fn request(&mut self, request: &str) -> String {
        self.write(request.as_bytes()).await;
        loop {
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let head = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            if !self.more().await {
                return String::from_utf8_lossy(&self.buffer).into_owned();
            }
        }
    }

    /// Everything up to the end, however that comes.
    pub async fn end(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// Writes the same again and again until the other side takes no more for `still`;
    /// gives how many bytes it took, `None` when it cut the connection or took
    /// `bytes_max`.
    pub async fn fill(&mut self, with: &[u8], still: Duration, bytes_max: usize) -> Option<usize> {
        let (mut took, mut at) = (0, 0);
        while let Ok(written) = tokio::time::timeout(still, self.stream.write(&with[at..])).await {
            let written = written.ok()?;
            took += written;
            at = (at + written) % with.len();
            if took > bytes_max {
                return None;
            }
        }
        Some(took)
    }

    /// The next frame that is not a ping.
    pub async fn receive(&mut self) -> Received {
        loop {
            match self.whole_frame() {
                Some((PING, _)) => {}
                Some((PONG, payload)) => return Received::Pong(payload),
                Some((CLOSE, payload)) => {
                    return Received::Close(
                        payload
                            .first_chunk()
                            .map_or(1005, |code| u16::from_be_bytes(*code)),
                    );
                }
                Some((_, payload)) => {
                    return Received::Text(serde_json::from_slice(&payload).unwrap());
                }
                None if !self.more().await => return Received::End,
                None => {}
            }
        }
    }

    /// Reads on until the end; gives the close code, 1006 when there was none.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match self.receive().await {
                Received::Close(code) => return code,
                Received::End => return 1006,
                Received::Text(_) | Received::Pong(_) => {}
            }
        }
    }

    /// How many bytes come until the connection ends, or how it breaks.
    pub async fn rest(&mut self) -> std::io::Result<usize> {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(SOON, self.stream.read_to_end(&mut rest));
        read.await.expect("the server ends it")
    }

    fn whole_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (&first, &second) = (self.buffer.first()?, self.buffer.get(1)?);
        assert_eq!(second & 0x80, 0, "server frames are not masked");
        let (start, length) = match second {
            126 => (
                4,
                usize::from(u16::from_be_bytes(*self.buffer.get(2..)?.first_chunk()?)),
            ),
            127 => (
                10,
                usize::try_from(u64::from_be_bytes(*self.buffer.get(2..)?.first_chunk()?)).unwrap(),
            ),
            length => (2, usize::from(length)),
        };
        let payload = self.buffer.get(start..start + length)?.to_vec();
        self.buffer.drain(..start + length);
        Some((first & 0x0f, payload))
    }

    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(SOON * 2, self.stream.read_buf(&mut self.buffer));
        matches!(
            read.await.expect("the server says something or ends"),
            Ok(1..)
        )
    }
}

/// The head of an upgrade request, with more headers if wanted (each ending in CRLF).
pub fn upgrade_request(address: SocketAddr, more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}
