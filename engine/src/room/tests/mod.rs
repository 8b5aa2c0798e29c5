//! Tests of the room: tables, then properties.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod activation;
mod ask;
mod batches;
mod commands;
mod keys;
mod orders;
mod outcomes;
mod refusals;
mod store;
mod ticks;
mod world;
