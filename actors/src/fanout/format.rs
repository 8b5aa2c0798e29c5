//! How frames look on a socket: which codec encodes the payload, what is put
//! around it.

use bytes::{BufMut, Bytes, BytesMut};
use fanfare_protocol::limits::FRAME_HEAD_BYTES_MAX;
use fanfare_protocol::{Codec, ConversationId};

use super::command::Close;
use super::framing::{close_event, close_frame, ping_comment, ping_frame, put_event, put_frame};

/// The bytes one kind of socket takes. Entries are made ready once for each
/// format in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON in text frames of a WebSocket.
    Json,
    /// MessagePack in binary frames of a WebSocket.
    MsgPack,
    /// JSON in events of an event stream.
    EventStream,
}

/// Every format, in the order of [`Format::place`].
pub const FORMATS: [Format; 3] = [Format::Json, Format::MsgPack, Format::EventStream];

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
            Self::Json | Self::EventStream => Codec::Json,
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
            Self::EventStream => put_event(out, payload),
        }
    }

    /// What keeps the connection in use while there is nothing to say.
    pub(super) fn ping(self) -> Bytes {
        match self {
            Self::Json | Self::MsgPack => ping_frame(),
            Self::EventStream => ping_comment(),
        }
    }

    /// What a client gets last.
    pub(super) fn close(self, close: &Close) -> Bytes {
        match self {
            Self::Json | Self::MsgPack => close_frame(close.code, &close.reason),
            Self::EventStream => close_event(close.code, &close.reason),
        }
    }

    /// Whether a peer that is alive says so. Of an event stream only the
    /// kernel knows, which ends the connection when nothing is acknowledged.
    pub(super) fn answers_pings(self) -> bool {
        match self {
            Self::Json | Self::MsgPack => true,
            Self::EventStream => false,
        }
    }
}
