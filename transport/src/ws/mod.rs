//! The WebSocket data path: handshake, client bytes to messages, messages to
//! frames. Nothing here knows what a message means.

pub(crate) mod connect;
pub mod decoder;
pub mod frame;
pub mod handshake;
mod inbound;
mod reader;

pub use connect::take_over;
pub use inbound::{Inbound, Payload};
