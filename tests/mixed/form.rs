//! How long the mixed run goes on, how much happens, and what counts as flat.

use std::time::Duration;

use crate::harness::Options;

use super::flat::Bounds;

/// Minutes of the long form when `FANFARE_SOAK_MINUTES` does not say otherwise.
const SOAK_MINUTES: u64 = 60;

/// Rounds of the short form when `FANFARE_SOAK_ROUNDS` does not say otherwise.
const SHORT_ROUNDS: usize = 4;

/// When the last round begins.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// After so many rounds.
    Rounds(usize),
    /// Rounds that begin before this has passed are played to their end.
    After(Duration),
}

/// How much happens.
#[derive(Debug, Clone)]
pub struct Form {
    pub end: End,
    /// Length of the load of one round.
    pub load: Duration,
    /// Small rooms at once, new ones each round.
    pub rooms: usize,
    /// Listeners that stay connected from the first round to the last.
    pub ears: usize,
    /// People who come and go all the time.
    pub churners: usize,
    /// From one act to the next in each small room.
    pub room_pace: Duration,
    /// The same in the hall, where everybody is.
    pub hall_pace: Duration,
    /// So many messages are sent at once now and then.
    pub burst: usize,
    /// The longest stay of a churner.
    pub stay_ms_max: u64,
    /// From one visit over REST to the next, of each visitor.
    pub visit_pace: Duration,
    /// From one sample to the next.
    pub sample_every: Duration,
    /// Where the samples go, below `target`.
    pub lines: &'static str,
    pub bounds: Bounds,
    limits: &'static [(&'static str, u64)],
}

/// Small, so that what may be kept is soon kept.
const CACHES: [(&str, u64); 8] = [
    ("store_cache_bytes", 2 << 20),
    ("store_memtable_bytes", MEMTABLE_BYTES),
    ("rings_and_pages_bytes_max", 1 << 20),
    ("usernames_cached_max", 64),
    ("revoked_sessions_max", 64),
    ("tickets_max", 64),
    ("hello_subscriptions", 12),
    ("password_hashes_at_once", 1),
];

/// What `fanfare seed` has to be told as well: it makes the data.
pub const MEMTABLE_BYTES: u64 = 1 << 20;

/// Deadlines that a round waits for.
const SHORT: [(&str, u64); 6] = [
    ("room_idle_ms", 1000),
    ("heartbeat_ms", 3500),
    ("header_ms_max", 2500),
    ("hello_ms_max", 2500),
    ("slow_reader_ms_max", 1500),
    ("membership_gather_ms", 50),
];
const LONG: [(&str, u64); 6] = [
    ("room_idle_ms", 4000),
    ("heartbeat_ms", 8000),
    ("header_ms_max", 5000),
    ("hello_ms_max", 5000),
    ("slow_reader_ms_max", 4000),
    ("membership_gather_ms", 200),
];

impl Form {
    /// The long one with `FANFARE_SOAK=1`.
    pub fn chosen() -> Self {
        if std::env::var("FANFARE_SOAK").is_ok_and(|soak| soak == "1") {
            Self::long(number("FANFARE_SOAK_MINUTES").unwrap_or(SOAK_MINUTES))
        } else {
            Self::short(number("FANFARE_SOAK_ROUNDS").unwrap_or(SHORT_ROUNDS))
        }
    }

    fn short(rounds: usize) -> Self {
        Self {
            end: End::Rounds(rounds),
            load: Duration::from_secs(5),
            rooms: 6,
            ears: 24,
            churners: 16,
            room_pace: Duration::from_millis(80),
            hall_pace: Duration::from_millis(120),
            burst: 32,
            stay_ms_max: 500,
            visit_pace: Duration::from_millis(300),
            sample_every: Duration::from_secs(1),
            lines: "mixed-short.jsonl",
            bounds: Bounds::SHORT,
            limits: &SHORT,
        }
    }

    fn long(minutes: u64) -> Self {
        Self {
            end: End::After(Duration::from_secs(60 * minutes)),
            load: Duration::from_secs(40),
            rooms: 12,
            ears: 100,
            churners: 40,
            room_pace: Duration::from_millis(1000),
            hall_pace: Duration::from_millis(1500),
            burst: 5,
            stay_ms_max: 8000,
            visit_pace: Duration::from_millis(2500),
            sample_every: Duration::from_secs(5),
            lines: "mixed.jsonl",
            bounds: Bounds::LONG,
            limits: &LONG,
        }
    }

    /// How to start the server.
    pub fn options(&self) -> Options {
        let limits = CACHES.iter().chain(self.limits);
        limits.fold(Options::new(), |options, (name, value)| {
            options.limit(name, *value)
        })
    }

    /// Whether another round begins.
    pub fn goes_on(&self, rounds: usize, passed: Duration) -> bool {
        match self.end {
            End::Rounds(all) => rounds < all,
            End::After(end) => passed < end,
        }
    }
}

fn number<N: std::str::FromStr>(variable: &str) -> Option<N> {
    std::env::var(variable).ok()?.parse().ok()
}
