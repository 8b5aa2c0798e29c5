//! Unread counts: computed exactly, pushed to every device of whoever they
//! concern, at most one per conversation and user in a while.
//!
//! `count` computes, `waiting` gathers what changed, `handle` is how others
//! tell of it, `actor` decides who is told when, `known` what need not be read.

mod actor;
mod count;
mod handle;
mod known;
#[cfg(test)]
mod tests;
mod waiting;

pub use count::{Counted, count};
pub use handle::{UnreadHandle, UnreadParts};
