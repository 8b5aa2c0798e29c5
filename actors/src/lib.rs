//! WHO and WHEN: accounts, gateway, sessions, rooms, relays, fan-out, and
//! who restarts whom. What is allowed stands in `fanfare-engine`.
//!
//! **Invariant:** actors never see storage or transport; they get ports.

pub mod account;
pub mod appender;
pub mod clock;
pub mod directory;
pub mod fanout;
mod frames;
pub mod gateway;
pub mod lease;
pub mod marks;
pub mod node;
pub mod notices;
pub mod owner;
pub mod rates;
pub mod relay;
pub mod relays;
pub mod reply;
pub mod room;
pub mod session;
pub mod sessions;
#[cfg(test)]
mod tests;
pub mod unread;
