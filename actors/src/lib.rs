//! WHO and WHEN: accounts, gateway, sessions, rooms, relays, fan-out, and
//! who restarts whom. What is allowed stands in `fanfare-engine`.
//!
//! **Invariant:** actors never see storage or transport; they get ports.

pub mod account;
pub mod rates;
