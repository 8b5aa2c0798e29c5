//! Certificate and key: read on start and again on SIGHUP.

use std::sync::Arc;

use anyhow::Context as _;
use fanfare_transport::accept::Tls;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;

/// SIGHUP, caught before anything else is done: it never ends the server.
pub struct ReloadSignal(Signal);

/// Reads certificate and key, if the configuration names any.
///
/// # Errors
/// A sentence for people that names the file.
pub fn load(config: &Config) -> anyhow::Result<Option<Arc<Tls>>> {
    let files = config.certificate_files()?;
    let load = |files| Tls::load(files, &config.limits).map(Arc::new);
    files.map(load).transpose().context("cannot speak TLS")
}

impl ReloadSignal {
    /// Catches it from now on.
    ///
    /// # Errors
    /// What the system says.
    pub fn catch() -> anyhow::Result<Self> {
        let signal = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
        Ok(Self(signal))
    }

    /// Reads the certificate again each time; forever.
    pub async fn obey(mut self, tls: Option<Arc<Tls>>) {
        while self.0.recv().await.is_some() {
            let Some(tls) = tls.clone() else {
                tracing::info!("SIGHUP: there is no certificate to read again");
                continue;
            };
            match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Ok(())) => tracing::info!("SIGHUP: new connections get the new certificate"),
                Ok(Err(error)) => {
                    let error = anyhow::Error::from(error);
                    tracing::error!("SIGHUP: the old certificate stays because {error:#}");
                }
                Err(error) => tracing::error!(%error, "SIGHUP: the old certificate stays"),
            }
        }
    }
}
