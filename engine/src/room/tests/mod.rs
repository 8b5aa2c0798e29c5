//! Tests of the room: tables, then properties.

mod activation;
mod ask;
mod batches;
mod client;
mod commands;
mod keys;
mod orders;
mod outcomes;
mod properties;
mod recent;
mod refusals;
mod scenario;
mod steps;
mod store;
mod ticks;
mod world;
