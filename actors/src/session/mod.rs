//! Sessions: one actor per connection. Identity, what comes in, lifecycle;
//! not on the delivery path.

mod actor;
mod commands;
mod hello;
mod lane;
mod places;
mod supervisor;

pub(crate) use actor::refuse;
pub use actor::{Session, SessionArguments, SessionMessage};
pub use supervisor::SessionSupervisor;
