//! Moves bytes between clients and the engine: the accept loop, HTTP, WebSocket.
//!
//! What a request or a frame means is decided in the layers below.
//! **Invariant:** transport never sees storage.

pub mod accept;
mod credentials;
mod routes;
#[cfg(test)]
mod tests;
pub mod ws;

use std::sync::Arc;
use std::time::Duration;

use fanfare_actors::gateway::Gateway;
use tokio::sync::watch;

use accept::{Drained, Listener};
pub use routes::routes;
use ws::handshake::AllowedOrigins;

/// What the transport serves.
#[derive(Clone)]
pub struct TransportParts {
    /// Where every request goes.
    pub gateway: Arc<Gateway>,
    /// How the server is.
    pub health: Health,
    /// Web origins that may call, beside the server's own.
    pub origins: AllowedOrigins,
}

/// How the server is, as the routes for operators tell it.
#[derive(Clone)]
pub struct Health {
    /// Whether writes are taken, or why not.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Everything counted, in Prometheus' text form.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Serves until `shutdown` turns true, then until no HTTP connection is left
/// or `grace` has passed. Sockets are not waited for: whoever owns them
/// closes them.
pub async fn serve(
    listener: Listener,
    parts: TransportParts,
    shutdown: watch::Receiver<bool>,
    grace: Duration,
) -> Drained {
    listener
        .serve(warp::service(routes(parts)), shutdown, grace)
        .await
}
