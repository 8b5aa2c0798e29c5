//! The rows that say who owns what: changed by compare-and-set only.

use super::PortFuture;
use crate::lease::{LeaseRow, NodeName, SlotRow};

/// What a compare-and-set came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap<T> {
    /// The row is as asked for.
    Applied,
    /// It was not what was expected, but this; nothing was changed.
    Found(Option<T>),
}

/// Leases and slots. An unknown outcome stays unknown
/// ([`super::StoreError::OutcomeUnknown`]): whoever asked settles it by a read.
pub trait Leases: Send + Sync {
    /// A node's lease, after everything that is on its way to it.
    fn lease(&self, node: NodeName) -> PortFuture<'_, Option<LeaseRow>>;

    /// Writes `next` if the row is `expected` (`None`: does not exist).
    fn swap_lease(
        &self,
        node: NodeName,
        expected: Option<LeaseRow>,
        next: LeaseRow,
    ) -> PortFuture<'_, Swap<LeaseRow>>;

    /// Every slot row there is, in no order. A change that is under way may
    /// be missing: only a swap tells for sure.
    fn slots(&self) -> PortFuture<'_, Vec<(u16, SlotRow)>>;

    /// A slot's row, after everything that is on its way to it.
    fn slot(&self, slot: u16) -> PortFuture<'_, Option<SlotRow>>;

    /// Writes `next` if the row is `expected` (`None`: does not exist).
    fn swap_slot(
        &self,
        slot: u16,
        expected: Option<SlotRow>,
        next: SlotRow,
    ) -> PortFuture<'_, Swap<SlotRow>>;
}
