//! How frames look on a socket: which codec encodes the payload, what is put
//! around it.

use bytes::BufMut;
use fanfare_protocol::ConversationId;

use super::framing::put_frame;

/// The bytes one kind of socket takes. Entries are made ready once for each
/// format in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON in text frames of a WebSocket.
    Json,
}

/// Every format, in the order of [`Format::place`].
pub const FORMATS: [Format; 1] = [Format::Json];

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

    /// Puts one payload, made ready for the socket, behind what `out` has.
    pub fn put(self, out: &mut impl BufMut, payload: &[u8]) {
        match self {
            Self::Json => put_frame(out, 0x1, payload),
        }
    }
}
