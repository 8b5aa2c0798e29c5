//! A socket's reading side: bytes into messages for an [`Inbound`], within
//! limits. Bytes are read into a buffer per thread; only partial frames are
//! kept.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfare_actors::fanout::{Close, Wire, pong_frame};
use fanfare_protocol::Limits;
use fanfare_protocol::limits::{CLOSE_MS_MAX, READ_BYTES};

use super::decoder::{Decoder, DecoderLimits, Incoming};
use super::frame::Fault;
use super::inbound::{Inbound, Payload};

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// Reads a connection to its end. `early` is what came with the upgrade.
///
/// There is one of these futures for each connection, nearly always waiting
/// for the next byte: what else it may wait for is boxed when it does.
pub(super) fn read(
    wire: Wire,
    early: Bytes,
    inbound: impl Inbound,
    limits: Arc<Limits>,
) -> impl Future<Output = ()> + Send {
    let mut reader = Reader {
        decoder: Decoder::new(DecoderLimits::from(&*limits)),
        wire,
        inbound,
        limits,
        is_closing: false,
    };
    let messages = reader.decode(&mut early.to_vec());
    // Even an empty one keeps the buffer of the request.
    drop(early);
    async move {
        Box::pin(reader.take(messages)).await;
        reader.run().await;
    }
}

struct Reader<I: Inbound> {
    decoder: Decoder,
    wire: Wire,
    inbound: I,
    limits: Arc<Limits>,
    /// We asked for the end: what still comes is thrown away.
    is_closing: bool,
}

impl<I: Inbound> Drop for Reader<I> {
    /// However reading ends, the session hears of it.
    fn drop(&mut self) {
        self.inbound.closed();
    }
}

/// A message taken off the wire.
enum Message {
    Data(Payload),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    Fault(Fault),
}

impl From<Result<Incoming<'_>, Fault>> for Message {
    fn from(next: Result<Incoming<'_>, Fault>) -> Self {
        match next {
            Ok(Incoming::Text(text)) => Self::Data(Payload::Text(text.into_owned())),
            Ok(Incoming::Binary(bytes)) => Self::Data(Payload::Binary(bytes.into_owned())),
            Ok(Incoming::Ping(payload)) => Self::Ping(payload.into_owned()),
            Ok(Incoming::Pong) => Self::Pong,
            Ok(Incoming::Close(reason)) => Self::Close(reason.map(|reason| reason.code)),
            Err(fault) => Self::Fault(fault),
        }
    }
}

enum Read {
    Messages(Vec<Message>),
    Nothing,
    End,
    Broken,
}

impl<I: Inbound> Reader<I> {
    async fn run(&mut self) {
        loop {
            let (socket, bytes_max) = (self.inbound.socket(), self.limits.control_queue_bytes_max);
            if !socket.is_writable(bytes_max) {
                Box::pin(socket.writable(bytes_max)).await;
            }
            if self.is_over() {
                return Box::pin(self.discard()).await;
            }
            if !self.wait().await {
                return;
            }
            match self.fill() {
                Read::Messages(messages) => {
                    self.inbound.socket().heard();
                    Box::pin(self.take(messages)).await;
                }
                Read::Nothing => {}
                Read::End => return Box::pin(self.answer_out()).await,
                Read::Broken => return,
            }
        }
    }

    /// Waits for bytes; with half a message, only until it is overdue.
    async fn wait(&mut self) -> bool {
        let ready = self.wire.readable();
        let Some(since) = self.decoder.partial_since() else {
            return ready.await.is_ok();
        };
        let allowed = Duration::from_millis(self.limits.inbound_message_ms_max);
        match Box::pin(tokio::time::timeout_at((since + allowed).into(), ready)).await {
            Ok(ready) => ready.is_ok(),
            Err(_) => {
                self.close(Close::new(1008, "message not finished in time"));
                true
            }
        }
    }

    /// Throws away what comes after our close, so that unread bytes do not
    /// make a reset of it; a flood is not worth more than one message. Then
    /// the shard's deadline is the end.
    async fn discard(&mut self) {
        let mut left_bytes = self.limits.inbound_message_bytes_max;
        let rest = async {
            while left_bytes > 0 {
                if self.wire.readable().await.is_err() {
                    return;
                }
                let read = BUFFER.with_borrow_mut(|buffer| self.wire.try_read(buffer));
                match read {
                    Ok(0) => return,
                    Ok(length) => left_bytes = left_bytes.saturating_sub(length),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
            std::future::pending().await
        };
        // Past the time there is nothing left to wait for.
        let _ = tokio::time::timeout(Duration::from_millis(CLOSE_MS_MAX), rest).await;
    }

    /// The peer says no more but may still read: what it asked is answered
    /// before the connection ends.
    async fn answer_out(&mut self) {
        let rest = async {
            self.inbound.answered().await;
            self.close(Close::new(1000, ""));
            self.inbound.socket().finished().await;
        };
        // Past the time nobody reads any more.
        let _ = tokio::time::timeout(Duration::from_millis(CLOSE_MS_MAX), rest).await;
    }

    fn fill(&mut self) -> Read {
        BUFFER.with_borrow_mut(|buffer| match self.wire.try_read(buffer) {
            Ok(0) => Read::End,
            Ok(length) => match buffer.get_mut(..length) {
                Some(bytes) => Read::Messages(self.decode(bytes)),
                None => Read::Broken,
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => Read::Nothing,
            Err(_) => Read::Broken,
        })
    }

    /// The messages that one read completed: bounded by that read and one
    /// message. A socket on its way out says nothing any more.
    fn decode(&mut self, bytes: &mut [u8]) -> Vec<Message> {
        if self.is_over() {
            return Vec::new();
        }
        let frames = self.decoder.feed(bytes, Instant::now());
        frames.map(Message::from).collect()
    }

    async fn take(&mut self, messages: Vec<Message>) {
        for message in messages {
            if self.is_over() {
                return;
            }
            self.act(message).await;
        }
    }

    fn is_over(&self) -> bool {
        self.is_closing || self.inbound.socket().is_over()
    }

    async fn act(&mut self, message: Message) {
        match message {
            Message::Data(payload) => {
                if let Err(close) = self.inbound.take(payload).await {
                    self.close(close);
                }
            }
            Message::Ping(payload) => self.inbound.socket().send(pong_frame(&payload)),
            Message::Pong => {}
            Message::Close(code) => self.close(Close::new(code.unwrap_or(1000), "")),
            Message::Fault(fault) => self.close(Close::new(fault.close_code, fault.reason)),
        }
    }

    fn close(&mut self, close: Close) {
        self.is_closing = true;
        self.inbound.socket().close(close);
    }
}
