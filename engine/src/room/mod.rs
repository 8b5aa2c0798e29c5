//! The room: one conversation's live state and the order in which things
//! happen to it, without IO.
//!
//! [`state::RoomState`] is what the log has made of the conversation,
//! [`decide`] says what a command makes of it, [`machine::Room`] sequences:
//! gather, one append in flight, effects, publish, answer.
//! The actor that carries it stands in `fanfare-actors`.

pub mod activation;
pub mod apply;
mod arrive;
pub mod decide;
mod done;
pub mod flight;
pub mod gather;
pub mod machine;
mod queue;
mod read;
mod recent;
pub mod replay;
mod sequence;
pub mod state;
pub mod steps;
pub mod submit;
#[cfg(test)]
mod tests;
mod tick;

pub use activation::{AdoptError, Adopted, Found, adopt};
pub use apply::own_mark;
pub use flight::{Batch, Outcome, Published, PublishedRow};
pub use machine::{Input, Now, Output, Room};
pub use state::{Needs, RoomState};
pub use steps::{Activation, Did, Step};
pub use submit::{Accepted, Done, Order, Resolved, Submission};
