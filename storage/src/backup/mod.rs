//! Backups of the embedded store: every cell of one moment in one file, and
//! back into an empty folder. The bytes: `docs/storage-format.md`.
//!
//! [`Backups`] takes one while the store is in use; [`verify`] reads one to
//! its end; [`restore()`] makes a folder of one. No clock, no randomness: the
//! caller says when it is and how many epochs to leave out.
//!
//! **Invariant:** what a folder is restored from was verified to its end
//! first, and a folder without its file `format` is never opened.

mod format;
mod read;
mod restore;
mod take;

pub use format::{BACKUP_FORMAT, BackupError, Header, Passed, Totals};
pub use read::{Tee, verify};
pub use restore::{Restored, restore};
pub use take::Backups;
