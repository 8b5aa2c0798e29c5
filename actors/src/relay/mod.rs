//! Relays: they follow owners for this node and feed its shards.

mod actor;
mod entries;
mod follow;
mod pages;

pub use actor::{Relay, RelayArguments, RelayFollower, RelayMessage};
