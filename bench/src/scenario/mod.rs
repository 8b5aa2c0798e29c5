//! What is measured. Every scenario connects, loads, measures between two
//! readings of /proc, waits for what is still under way and has the checks
//! settle; they differ in who connects and when.

mod fanout;
mod play;

pub use fanout::Steady;
pub use play::{Play, Scenario, Window, name, play};
