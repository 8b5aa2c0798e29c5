//! Rooms: one actor per live conversation, around the pure machine of
//! `fanfare_engine::room`.

mod activate;
mod activity;
mod actor;
mod supervisor;

pub use activate::Loads;
pub use actor::{Room, RoomArguments, RoomMessage, RoomPorts};
pub use supervisor::{RoomSupervisor, SupervisorArguments};
