//! What is measured. Every scenario connects, loads, measures between two
//! readings of /proc, waits for what is still under way and has the checks
//! settle; they differ in who connects and when.

mod fanout;
mod idle;
mod play;
mod saturate;
mod slow;
mod storm;

pub use fanout::Steady;
pub use idle::Idle;
pub use play::{Play, Scenario, Window, name, play};
pub use saturate::Saturate;
pub use slow::{Slow, median, pairs};
pub use storm::Storm;
