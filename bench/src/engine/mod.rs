//! The load generator: sockets, time and checks around a
//! [`crate::dialect::Dialect`]. One [`Generator`] is one thread with its own
//! epoll, one shared read buffer and no allocation per delivery; a [`Fleet`]
//! is as many as were asked for.
//!
//! Reading order: `fleet`, `generator`, `io`, `connection`, `stream`, `tally`.

mod connection;
mod fleet;
mod generator;
mod io;
mod stream;
mod tally;

pub use fleet::Fleet;
pub use generator::Generator;
pub use tally::{Tally, Times};

use std::time::Instant;

/// Nanoseconds since the run began, the same for all threads.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the beginning.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}
