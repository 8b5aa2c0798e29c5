//! Who owns which slots, under which epoch, and whether the store is well.

use super::PortFuture;

/// Ownership of slots. The embedded store answers like a cluster of one:
/// one owner of everything, its epoch the number of its start.
pub trait Ownership: Send + Sync {
    /// Claims every slot for this process; the epoch is above every epoch
    /// before it and durable when it returns.
    fn claim_slots(&self) -> PortFuture<'_, u64>;

    /// Whether this process may still acknowledge what it wrote to `slot`
    /// under `epoch`. Asked after each append returned.
    fn holds(&self, slot: u16, epoch: u64) -> bool;
}

/// Whether the store takes writes.
pub trait Readiness: Send + Sync {
    /// # Errors
    /// Why the store refuses writes, for `/readyz`.
    fn ready(&self) -> Result<(), String>;
}
