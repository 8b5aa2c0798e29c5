//! Marks on their way to the store: gathered, clamped, flushed together,
//! told to the others once a second. Permission is the gateway's.
//!
//! `own` holds senders' own marks until they are durable, `handle` is where
//! marks come in, `actor` decides when they are flushed, `flush` looks up,
//! writes and answers, `status` gathers what others are told.

mod actor;
mod flush;
mod handle;
mod own;
mod status;
#[cfg(test)]
pub(crate) mod tests;

pub use handle::{MarkReply, MarksHandle, MarksParts};
pub use own::OwnMarks;
