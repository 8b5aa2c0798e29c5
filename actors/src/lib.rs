//! WHO and WHEN: accounts, gateway, sessions, rooms, relays, fan-out, and
//! who restarts whom. What is allowed stands in `fanfare-engine`.
//!
//! **Invariant:** actors never see storage or transport; they get ports.

pub mod account;
pub mod rates;
pub mod clock;
pub mod reply;
pub mod owner;
pub mod appender;
pub mod room;
pub mod directory;
pub mod fanout;
pub mod relay;
pub mod relays;
pub mod marks;
pub mod unread;
pub mod notices;
pub mod session;
pub mod sessions;
pub mod gateway;
pub mod node;
