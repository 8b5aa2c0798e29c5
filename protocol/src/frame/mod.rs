//! Frames, named by who sends them.

mod client;
mod server;

pub use client::{ClientBody, ClientFrame, Device, DeviceKind, FrameId, Hello};
pub use server::{Failed, HelloReply, encode_event, encode_reply, encode_signal};
