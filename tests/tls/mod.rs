//! What is different over TLS: `people` talk, `handshakes` that are not as they
//! should be, `files` that hold certificate and key.

mod files;
mod handshakes;
mod people;

use crate::harness::{SOON, Server, eventually};

/// Waits until a metric has this value.
async fn counts(server: &Server, name: &str, value: f64) {
    eventually(&format!("{name} {value}"), SOON, async || {
        (server.metric(name).await == value).then_some(())
    })
    .await;
}
