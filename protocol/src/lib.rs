//! The vocabulary and the wire: ids, records, commands, events, signals,
//! refusals, limits, and their bytes in JSON and MessagePack.
//!
//! What lives here: shapes that clients rely on, and the numbers that bound
//! them. What never does: rules (see `fanfare-engine`), IO, clocks.
//! Every shape has golden bytes in `tests/golden/` of this crate.

pub mod codec;
pub mod command;
pub mod conversation;
pub mod cursor;
mod decode;
pub mod event;
pub mod frame;
pub mod id;
pub mod limits;
pub mod mark;
pub mod message;
mod msgpack;
pub mod participant;
pub mod refusal;
pub mod reply;
pub mod rest;
pub mod signal;
mod strict;
pub mod time;
pub mod user;

pub use codec::Codec;
pub use id::{ConversationId, MessageId, SessionId, UserId};
pub use limits::Limits;
pub use refusal::{Code, Refusal};
pub use time::Timestamp;
