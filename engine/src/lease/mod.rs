//! Who owns which slots of the conversation space, and until when: one node's
//! part in it, without IO (ARCHITECTURE §7).
//!
//! [`Lease`] is told times and answers of the store and says what to ask of
//! it next. **Invariant:** of all nodes at most one [`Lease::holds`] a slot at
//! any time, as long as clocks run within [`Terms::margin_ms`] of each other
//! per lease. What a new owner does with a log stands in
//! [`crate::room::steps`], what others may read of it in [`crate::reader`];
//! `tests/` checks every interleaving of these two at small size.

mod machine;
mod messages;
mod observed;
mod own;
mod row;
mod slots;
#[cfg(test)]
mod tests;

pub use machine::Lease;
pub use messages::{Answer, Ask, Effect, Input, Resignation};
pub use row::{LeaseRow, Moment, NoNodeName, NodeName, Owner, SlotRow, Terms};
