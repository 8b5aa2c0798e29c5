//! Log-ins and their refresh tokens.

use fanfare_protocol::SessionId;

use super::PortFuture;
use crate::account::Family;

/// Token families by session id.
pub trait Tokens: Send + Sync {
    /// One family.
    fn family(&self, session: SessionId) -> PortFuture<'_, Option<Family>>;

    /// Writes `family` if the stored one has `expected_rev` (`None`: does
    /// not exist). `false`: somebody else was first.
    fn put_family(&self, family: Family, expected_rev: Option<u64>) -> PortFuture<'_, bool>;
}
