//! Tests of the lease: scenarios of one node and of two, and two models
//! (stateright) in every interleaving: two owners with clocks, and the log
//! under two owners.

mod act;
mod cells;
mod clock_scope;
mod clock_world;
mod clocks;
mod fence;
mod log;
mod node;
mod own;
mod proof;
mod rows;
mod share;
mod slots;
mod world;
