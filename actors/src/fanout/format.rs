//! How frames look on a socket: which codec encodes the payload, what is put
//! around it.

use bytes::{BufMut, Bytes, BytesMut};
use fanfare_protocol::limits::FRAME_HEAD_BYTES_MAX;
use fanfare_protocol::{Codec, ConversationId};

use super::framing::put_frame;

/// The bytes one kind of socket takes. Entries are made ready once for each
/// format in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON in text frames of a WebSocket.
    Json,
    /// MessagePack in binary frames of a WebSocket.
    MsgPack,
}

/// Every format, in the order of [`Format::place`].
pub const FORMATS: [Format; 2] = [Format::Json, Format::MsgPack];

/// One conversation in one format: what a shard keeps a ring of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Feed {
    /// Conversation.
    pub conversation: ConversationId,
    /// Format.
    pub format: Format,
}

impl Format {
    /// Its place in lists with one item for each format.
    pub fn place(self) -> usize {
        self as usize
    }

    /// What encodes its payloads.
    pub fn codec(self) -> Codec {
        match self {
            Self::Json => Codec::Json,
            Self::MsgPack => Codec::MessagePack,
        }
    }

    /// One payload, ready for the socket.
    pub fn frame(self, payload: &[u8]) -> Bytes {
        let mut frame = BytesMut::with_capacity(payload.len() + FRAME_HEAD_BYTES_MAX);
        self.put(&mut frame, payload);
        frame.freeze()
    }

    /// Puts one payload, made ready for the socket, behind what `out` has.
    pub fn put(self, out: &mut impl BufMut, payload: &[u8]) {
        match self {
            Self::Json => put_frame(out, 0x1, payload),
            Self::MsgPack => put_frame(out, 0x2, payload),
        }
    }
}
