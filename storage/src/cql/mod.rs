//! The store on a CQL cluster: ScyllaDB in production, Apache Cassandra in
//! tests. One port is one file; statements are prepared, idempotent, under
//! fixed keys and logical timestamps ([`fanfare_engine::stamp::Stamp`]).
//!
//! What lives here: rows, batches, compare-and-set, migrations. What never
//! does: rules. Start with [`store::Cql`]; `run.rs` is the only place that
//! sends something. Differences between the servers stand in `flavour.rs`.
//!
//! **Invariant:** a batch touches one partition of one table, and what may
//! have been written is never reported as refused.

mod accounts;
mod again;
mod census;
mod effects;
mod error;
mod flavour;
mod home;
mod inbox;
mod leases;
mod log;
mod marks;
mod members;
mod migrations;
mod names;
mod options;
mod run;
mod schema;
mod session;
mod shared;
mod silence;
mod statements;
mod store;
mod survey;
mod tokens;
mod value;
mod values;

pub use error::OpenError;
pub use migrations::MigrationError;
pub use options::{CqlOptions, check_keyspace};
pub use schema::{Migration, MigrationState, migrate, migrations};
pub use store::Cql;
pub use survey::{Survey, survey};
