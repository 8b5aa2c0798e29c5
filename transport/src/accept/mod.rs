//! Our own accept loop around the HTTP routes: what `warp::serve` does not
//! offer (deadlines, connection limits, socket options, a drain that ends).
//!
//! A connection's way: `listener` → `admission` → `tls`, if there is a
//! certificate → `request` (hyper, through `stream` and `body`) → the routes,
//! or out again as a raw wire by [`into_wire`].

pub mod admission;
pub mod body;
pub mod certificate;
pub mod client_address;
pub mod listener;
pub mod request;
pub mod stream;
pub mod tls;

pub use admission::{ConnectionGuard, OpenConnections};
pub use body::{BodyPace, PacedBody};
pub use certificate::{CertificateError, CertificateFiles};
pub use client_address::{TrustedProxies, client_address};
pub use listener::{AcceptLimits, Drained, Listener};
pub use request::{ClientAddr, HttpVersion, PeerAddr};
pub use stream::into_wire;
pub use tls::Tls;

#[cfg(test)]
mod tests;
