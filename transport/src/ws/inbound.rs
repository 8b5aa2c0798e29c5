//! Whom a socket's messages are for: the seam between the bytes, which are
//! the same for everybody, and what a message means.

use fanfare_actors::fanout::{Close, Format, SocketHandle};
use fanfare_actors::gateway::Connection;
use fanfare_protocol::frame::ClientFrame;

/// A whole data message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// Takes in what one socket says: a session, or the echo that the
/// conformance suite talks to.
pub trait Inbound: Send + Sync {
    /// Its writing side.
    fn socket(&self) -> &SocketHandle;

    /// Acts on a message. While this waits for room, nothing is read.
    ///
    /// # Errors
    /// How to close the socket, if the message has no meaning here.
    fn take(&self, payload: Payload) -> impl Future<Output = Result<(), Close>> + Send;

    /// Waits until everything taken in so far is answered.
    fn answered(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// The peer is gone.
    fn closed(&self);
}

impl Inbound for Connection {
    fn socket(&self) -> &SocketHandle {
        &self.socket
    }

    async fn take(&self, payload: Payload) -> Result<(), Close> {
        let bytes = match (self.socket.format(), payload) {
            (Format::Json, Payload::Text(text)) => text.into_bytes(),
            (Format::MsgPack, Payload::Binary(bytes)) => bytes,
            (Format::Json, _) => {
                return Err(Close::new(1003, "this subprotocol speaks text"));
            }
            (Format::MsgPack, _) => {
                return Err(Close::new(1003, "this subprotocol speaks bytes"));
            }
            (Format::EventStream, _) => return Err(Close::new(1003, "nothing is read here")),
        };
        let decoded = ClientFrame::decode(self.socket.format().codec(), &bytes);
        let permit = self.permit(bytes.len()).await;
        match (decoded, permit) {
            (Ok(frame), Ok(permit)) => self.frame(frame, permit),
            (Ok(frame), Err(refusal)) => self.refuse(frame.id, frame.key, refusal),
            (Err(refusal), _) => self.bad_frame(refusal),
        }
        Ok(())
    }

    async fn answered(&self) {
        Self::answered(self).await;
    }

    fn closed(&self) {
        Self::closed(self);
    }
}
