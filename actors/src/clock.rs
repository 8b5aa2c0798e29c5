//! The clock, the one place where actors ask for the time.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use fanfare_engine::lease::Moment;
use fanfare_engine::room::Now;
use fanfare_protocol::Timestamp;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Wall clock and monotonic milliseconds since the process first asked.
pub fn now() -> Now {
    Now {
        at: wall(),
        ms: monotonic_ms(),
    }
}

/// The wall clock: for people and tokens, never for order.
pub fn wall() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The clocks that leases count by: one that counts suspend, and the wall's.
pub fn moment() -> Moment {
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds_ms = u64::try_from(boot.tv_sec).unwrap_or(0).saturating_mul(1000);
    let rest_ms = u64::try_from(boot.tv_nsec).unwrap_or(0) / 1_000_000;
    Moment {
        boot_ms: seconds_ms + rest_ms,
        wall_ms: wall().0,
    }
}

/// Milliseconds that only grow: for waiting.
pub fn monotonic_ms() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}
