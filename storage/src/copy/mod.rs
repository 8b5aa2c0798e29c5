//! Everything from one store to another, whatever they are: resumable, under
//! the oldest timestamps, verified by checksum of both sides.
//!
//! [`copy`] does it, [`Items`] reads one conversation, [`digest()`] sums a store
//! up. Live notes stay behind: whoever takes the copy over activates what was
//! not left clean. The source must be at rest.
//!
//! **Invariant:** what a copy writes loses against everything that an owner
//! of the destination ever writes.

mod digest;
mod items;
mod record;
mod run;
mod write;

pub use digest::{Digest, digest};
pub use items::{Item, Items};
pub use record::{CopyError, is_unfinished};
pub use run::{Copied, Tally, copy};
