//! Tests of the lease: the log under two owners, in every interleaving
//! (stateright).

mod act;
mod cells;
mod log;
mod world;
