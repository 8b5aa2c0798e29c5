//! Accounts: who somebody is and how they prove it. Plain flows over ports,
//! no actor: nothing here has a mailbox or a state that must be owned.
//!
//! Start at [`AccountBook`]; each flow is one file.

mod book;
mod expiring;
mod login;
mod logout;
mod passwords;
mod profile;
mod refresh;
mod register;
mod revoked;
mod seams;
mod tickets;
mod tokens;

#[cfg(test)]
mod tests;

pub use book::{AccountBook, Parts};
pub use passwords::Passwords;
pub use register::Registered;
pub use seams::{Clock, new_id, random};
pub use tokens::{AccessTokens, Identity, RefreshToken, RefreshTokens, TokenKey};
