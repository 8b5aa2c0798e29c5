//! Who owns which slots, under which epoch, and whether the store is well.

use super::PortFuture;

/// What this node owns at present. Asked often: nothing here waits.
///
/// A store that one process has to itself answers by itself ([`SoleOwner`]);
/// where several may share one, leases decide ([`super::Leases`]).
pub trait Ownership: Send + Sync {
    /// The epoch under which this node takes commands for a slot and says how
    /// far its logs are; `None` while somebody else does, or the lease lapsed.
    fn serves(&self, slot: u16) -> Option<u64>;

    /// Whether the slot was claimed under `epoch` and not given up since:
    /// what is written under it may still come to be acknowledged.
    fn keeps(&self, slot: u16, epoch: u64) -> bool;

    /// Whether what was written to `slot` under `epoch` may be acknowledged
    /// and published. Asked after each write returned.
    fn holds(&self, slot: u16, epoch: u64) -> bool;
}

/// A store that one process has to itself owns everything at once; its epoch
/// is the number of its start.
pub trait SoleOwner: Ownership {
    /// Claims every slot for this process; the epoch is above every epoch
    /// before it and durable when it returns.
    fn claim_slots(&self) -> PortFuture<'_, u64>;
}

/// Whether the store takes writes.
pub trait Readiness: Send + Sync {
    /// # Errors
    /// Why the store refuses writes, for `/readyz`.
    fn ready(&self) -> Result<(), String>;
}
