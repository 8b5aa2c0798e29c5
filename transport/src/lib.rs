//! Moves bytes between clients and the engine: the accept loop, HTTP, WebSocket.
//!
//! What a request or a frame means is decided in the layers below.
//! **Invariant:** transport never sees storage.

pub mod accept;
pub mod ws;
