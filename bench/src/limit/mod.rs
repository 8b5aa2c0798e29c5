//! What delivery must cost at least: one thread, one epoll, and for every
//! receiver one `write` of a frame that is ready. With `--coalesce` what was
//! published while the thread was busy goes out together, one vectored write
//! per receiver. It stores nothing, checks nobody and speaks
//! [`crate::dialect::plain`]. It is a yardstick, never a server.
//!
//! Reading order: `server` (the loop), `deliver` (writes), `socket` (one
//! receiver), `wire` (bytes), `fault` (deliveries broken on purpose, to see
//! that the checks catch them).

mod deliver;
mod fault;
mod server;
mod socket;
mod wire;

pub use fault::Kind;
pub use server::serve;
