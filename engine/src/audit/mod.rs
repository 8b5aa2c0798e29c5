//! Is what the store holds of a conversation what its log says? One
//! conversation at a time, row by row; reading is the caller's.
//!
//! [`Audit`] judges a log and its effects, [`Shown`] what a reader that does
//! not own a log was shown, [`Finding`] is what is wrong.

mod effects;
mod finding;
mod keys;
mod log;
mod shown;
#[cfg(test)]
mod tests;

pub use finding::{Finding, What};
pub use log::{Audit, Verdict};
pub use shown::Shown;
