//! Fan-out: one task per core, each the sole owner of its sockets' writes.
//!
//! A subscription is one cursor: *live* and *lagging* are both *cursor below
//! head*. Recent entries lie once per conversation and format in a ring of
//! ready frames; behind the ring come pages that the relay fetches once for
//! all. Nothing here knows the log, sessions or permissions.

mod body;
mod command;
mod conversation;
mod flush;
mod format;
mod framing;
mod handle;
mod ring;
mod run;
mod shard;
mod socket;
mod sockets;
mod subscriptions;
#[cfg(test)]
mod tests;
mod timers;
mod wire;

pub use body::{BodyReader, BodyWriter, CutOff, body};
pub use command::{Close, Ends, Frames, SocketId, Start, Watch};
pub use format::{FORMATS, Feed, Format};
pub use framing::{close_frame, ping_frame, pong_frame, text_frame};
pub use handle::{Fanout, ShardHandle, SocketHandle};
pub use run::{Run, RunBuilder};
pub use shard::Source;
pub use wire::Wire;
