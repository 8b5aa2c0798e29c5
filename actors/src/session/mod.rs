//! Sessions: one per connection, an actor while it has something to do.
//! Identity, what comes in, lifecycle; not on the delivery path.

mod actor;
mod commands;
mod hello;
mod lane;
mod place;
mod places;
mod supervisor;

pub use actor::SessionMessage;
pub(crate) use actor::State;
pub(crate) use actor::refuse;
pub use place::SessionRef;
pub use supervisor::SessionSupervisor;
