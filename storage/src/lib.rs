//! The engine's ports over an ordered map of cells, in memory for tests and in
//! a folder (fjall) for one process, and over a CQL cluster ([`cql`]).
//!
//! Tables, their bytes, the committer; no rules (see `fanfare-engine`), clocks,
//! randomness. Start with [`Embedded`] or [`Memory`], then [`Ports`]; one port is
//! one file. The bytes on disk: `docs/storage-format.md`.
//!
//! **Invariant:** a write is acknowledged only once it is durable, and a
//! refused one (`Unavailable`, `Overloaded`) left nothing behind.

mod accounts;
pub mod backup;
mod cells;
mod census;
pub mod copy;
pub mod cql;
pub mod dying;
mod effects;
mod embedded;
mod folder;
mod inbox;
mod leases;
mod log;
mod marks;
mod members;
mod memory;
mod names;
mod node;
mod ownership;
mod ports;
mod singles;
#[cfg(test)]
mod steps_tests;
mod tables;
mod tokens;
mod values;

pub use cells::embedded::CellsError;
pub use embedded::Embedded;
pub use folder::{FORMAT, OpenError};
pub use memory::Memory;
pub use node::NodeFolder;
pub use ports::Ports;
