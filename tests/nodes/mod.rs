//! Two engines on one keyspace that take it from each other: real processes, killed,
//! stopped and cut off.

mod fence;
mod pair;
mod restart;
