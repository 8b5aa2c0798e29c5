//! What is said to one socket or to many, made ready in a format: replies
//! and signals. Entries are made ready by relays.

use bytes::Bytes;
use fanfare_protocol::codec::Failed;
use fanfare_protocol::frame::FrameId;
use fanfare_protocol::reply::Reply;
use fanfare_protocol::signal::Signal;
use fanfare_protocol::{ConversationId, Refusal};

use crate::fanout::Format;

/// A reply to the frame `re`.
pub(crate) fn reply(
    format: Format,
    re: &FrameId,
    answer: &Result<&Reply, Refusal>,
) -> Option<Bytes> {
    ready(format, format.codec().reply(re, answer))
}

/// A signal, of one conversation where it has one.
pub(crate) fn signal(
    format: Format,
    conversation: Option<ConversationId>,
    signal: &Signal,
) -> Option<Bytes> {
    ready(format, format.codec().signal(conversation, signal))
}

/// Shapes are plain data: what cannot be encoded is a bug, and told to us.
fn ready(format: Format, payload: Result<Bytes, Failed>) -> Option<Bytes> {
    match payload {
        Ok(payload) => Some(format.frame(&payload)),
        Err(error) => {
            tracing::error!(?error, ?format, "frame not encoded");
            None
        }
    }
}
