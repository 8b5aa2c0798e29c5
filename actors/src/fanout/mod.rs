//! Fan-out: one task per core, each the sole owner of its sockets' writes.
//!
//! A subscription is one cursor: *live* and *lagging* are both *cursor below
//! head*. Recent entries lie once per conversation in a ring of ready
//! frames; behind the ring come pages that the relay fetches once for all.
//! Nothing here knows the log, sessions or permissions.

mod command;
mod conversation;
mod flush;
mod framing;
mod shard;
mod socket;
mod subscriptions;
#[cfg(test)]
mod tests;
mod wire;

pub use command::{Close, Fanout, Frames, ShardHandle, SocketHandle, SocketId, Start, Watch};
pub use framing::{close_frame, ping_frame, pong_frame, text_frame};
pub use shard::Source;
pub use wire::Wire;
