//! Tests of the lease: the machine by tables; the clocks of two nodes, and
//! the log under two owners, in every interleaving (stateright).

mod cells;
mod clocks;
mod log;
mod machine;
mod world;
