//! What is allowed and what happens: decide, apply, authorize; the ports
//! that storage fills. Pure: no IO, no tokio, no clock, no randomness; time,
//! ids and random bytes arrive as arguments.
//!
//! **Invariant:** nothing here knows which store, transport or runtime it
//! runs on (`tests/tidy.rs` and `clippy.toml` hold it).

pub mod account;
pub mod activity;
pub mod audit;
pub mod authorize;
pub mod check;
pub mod codec;
pub mod effect;
pub mod entry;
pub mod lease;
pub mod member;
pub mod mention;
pub mod meta;
pub mod placement;
pub mod port;
pub mod reader;
pub mod room;
pub mod row;
pub mod secret;
pub mod stamp;
pub mod state;
pub mod unread;
pub mod view;
