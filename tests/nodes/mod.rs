//! One engine on a cluster of three CQL servers that fail, and two engines on one
//! keyspace that take it from each other. Real processes, killed and stopped.

mod dark;
mod fence;
mod ghost;
mod outage;
mod pair;
mod phases;
mod restart;
