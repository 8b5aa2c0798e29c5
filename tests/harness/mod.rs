//! A client of our own and the server it talks to, as the system tests use them.
//!
//! [`server`] starts, kills and restarts the real binary; [`rest`] and [`socket`]
//! speak to it, over [`dial`]; [`cassandra`] starts what it may remember in, each test in
//! a [`keyspace`], and [`proxy`] stands before that; [`account`] is one person with
//! tokens; [`raw`] writes bytes that no honest client would; [`process`] looks at the
//! server from outside, [`follower`] at its store. All of it knows PROTOCOL only, none
//! of the server's code.

use std::time::{Duration, Instant};

pub mod account;
pub mod cassandra;
pub mod certificate;
pub mod dial;
pub mod events;
pub mod follower;
pub mod inbox;
pub mod keyspace;
pub mod listener;
mod printed;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod rest;
pub mod server;
pub mod socket;

pub use account::Account;
pub use certificate::Authority;
pub use inbox::{Event, Keep};
pub use process::Process;
pub use rest::{Refusal, Rest};
pub use server::{Options, Server};
pub use socket::{Codec, Socket};

/// How long a test waits for something that should happen at once. Generous: many
/// tests share two cores.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks `probe` again and again until it answers; panics with `what` after `within`.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    let mut pause_ms = 2;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {within:?} in vain for: {what}"
        );
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        pause_ms = (pause_ms * 2).min(100);
    }
}

/// A fresh idempotency key.
pub fn new_key() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A name nobody else in this run has: `prefix` and a number.
pub fn unique(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{prefix}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Numbers that look random and are the same in every run with the same seed
/// (SplitMix64, Steele, Lea and Flood 2014).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`, which must not be 0.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// Two heavy tests at once would measure each other: each takes this first.
pub async fn heavy() -> tokio::sync::SemaphorePermit<'static> {
    static ONE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);
    ONE.acquire().await.unwrap()
}
