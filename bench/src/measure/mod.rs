//! What the system says about processes and the machine: /proc, read at the
//! two ends of a measurement.

mod machine;
mod process;

pub use machine::{Machine, kernel_slab_kib, raise_file_limit, tcp_memory_kib};
pub use process::{Family, Process, Usage, told};
