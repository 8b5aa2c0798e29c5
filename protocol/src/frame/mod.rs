//! Frames, named by who sends them.

mod client;
mod envelope;
mod id;
mod server;

pub use client::{ClientBody, ClientFrame, Device, DeviceKind, Hello};
pub use envelope::check_key;
pub use id::FrameId;
pub use server::{HelloLimits, HelloReply};
