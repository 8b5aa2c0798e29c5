//! What the system says about processes and the machine: /proc, read at the
//! two ends of a measurement.

mod machine;
mod process;

pub use machine::{Machine, raise_file_limit};
pub use process::{Family, Process, Usage};
