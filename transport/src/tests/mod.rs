//! The whole transport over loopback, with a node in memory behind it.

mod house;
mod msgpack;
mod routes;
mod sockets;
