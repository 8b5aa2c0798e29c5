//! Leases and slots of this node, where several may share a store: the actor
//! that carries [`fanfare_engine::lease::Lease`] out, and what others ask it.
//!
//! Rules stand in the machine; here are requests, time and notice.

mod keeper;
mod tenancy;
mod tenure;

pub use keeper::{Keeper, KeeperArguments, KeeperMessage, SlotChange};
pub use tenancy::Tenancy;
pub(crate) use tenancy::{Keepership, Leased};
pub use tenure::Tenure;
