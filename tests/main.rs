//! The whole system, black box, against the real binary.
//!
//! Scripts of Alice and Bob are in `people`, faults in `kill9`, `races`, `refusals` and
//! `hostile`, TLS in `tls`, the CQL store in `cql`, a real chat in `real_chat`. Beneath them lie `harness`
//! (server and clients), `history` (records and checkers), `irc` (the logs) and `replay`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may fail loudly and says what it saw"
)]

mod cql;
mod docs;
mod harness;
mod history;
mod hostile;
mod irc;
mod kill9;
mod mixed;
mod nodes;
mod people;
mod races;
mod real_chat;
mod refusals;
mod replay;
mod tidy;
mod tls;
