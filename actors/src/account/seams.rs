//! Where time and randomness come from.

use std::sync::Arc;

use fanfare_protocol::{Refusal, Timestamp};
use uuid::{Builder, Uuid};

use crate::clock;

/// The wall clock, or a test's own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn wall() -> Self {
        Self::of(clock::wall)
    }

    /// Any other clock.
    pub fn of(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Now, in milliseconds.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// Bytes from the operating system.
///
/// # Errors
/// `internal` when it gives none.
pub fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "no random bytes from the operating system");
        Refusal::internal()
    })?;
    Ok(bytes)
}

/// A UUIDv7 of the given time.
///
/// # Errors
/// See [`random`].
pub fn new_id(now: Timestamp) -> Result<Uuid, Refusal> {
    let ms = u64::try_from(now.0).unwrap_or(0);
    Ok(Builder::from_unix_timestamp_millis(ms, &random()?).into_uuid())
}
