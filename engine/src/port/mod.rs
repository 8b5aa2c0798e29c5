//! Ports: what the engine wants remembered. Object-safe; storage fills them,
//! actors are handed those they use.

mod accounts;
mod census;
mod inbox;
mod leases;
mod log;
mod marks;
mod members;
mod names;
mod ownership;
mod tokens;

use std::future::Future;
use std::pin::Pin;

pub use accounts::Accounts;
pub use census::{Census, Part, Place, Single, Singles};
pub use inbox::Inbox;
pub use leases::{Leases, Swap};
pub use log::{Log, Order, RowRange};
pub use marks::{Mark, MarkWrite, MarksPort, Standing};
pub use members::Members;
pub use names::{Claim, ClaimOutcome, ClaimRow, Names, Scope};
pub use ownership::{Ownership, Readiness, SoleOwner};
pub use tokens::Tokens;

/// What a port's method returns.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written, or a read failed: `unavailable`.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// Too much is waiting already; nothing was written: `overloaded`.
    #[error("store overloaded")]
    Overloaded,
    /// It may have been written: repeat verbatim until it is known.
    #[error("outcome unknown: {0}")]
    OutcomeUnknown(String),
    /// A stored value is not what its table holds.
    #[error("stored data damaged: {0}")]
    Damaged(String),
}

impl StoreError {
    /// Whether the write may have happened.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::OutcomeUnknown(_))
    }
}

impl From<crate::codec::CodecError> for StoreError {
    fn from(error: crate::codec::CodecError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<StoreError> for fanfare_protocol::Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::unavailable("the store does not answer"),
            StoreError::Overloaded => Self::new(
                fanfare_protocol::Code::Overloaded,
                "the store has too much to do",
            )
            .after_ms(fanfare_protocol::limits::RETRY_AFTER_MS),
            StoreError::OutcomeUnknown(_) => Self::outcome_unknown(),
            StoreError::Damaged(_) => Self::internal(),
        }
    }
}
