//! `fanfare serve`: from the configuration to a running server, and back to
//! an exit with everything written.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fanfare_actors::account::{AccountBook, Clock, Parts};
use fanfare_actors::rates::Rates;
use fanfare_protocol::Limits;
use fanfare_transport::accept::{AcceptLimits, Listener, TrustedProxies};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Switch};
use crate::open::{Opened, open};
use crate::telemetry::Metrics;

/// Runs the server until SIGTERM or SIGINT.
///
/// # Errors
/// A sentence for people when it cannot start.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let metrics = Metrics::install().context("cannot count anything")?;
    tokio::spawn(metrics.fold());
    let limits = Arc::new(config.limits.clone());
    let opened = open(&config).await?;
    let listener = bind(&config)?;
    let address = listener.local_addr().context("cannot tell the address")?;
    let epoch = opened.ports.ownership.claim_slots().await;
    let epoch = epoch.context("cannot claim the data")?;
    let _book = book(&config, &opened, &limits);
    tracing::info!(%address, epoch, data = %config.data.display(), "ready");
    announce(&config, address).context("cannot print where the server is")?;
    stop_asked().await?;
    close(opened, &limits).await;
    Ok(())
}

fn bind(config: &Config) -> anyhow::Result<Listener> {
    let trusted = TrustedProxies::new(config.trusted_networks()?);
    let limits = AcceptLimits::from(&config.limits);
    Listener::bind(config.listen, limits, trusted).with_context(|| {
        format!(
            "cannot listen on {}; stop what listens there or choose another address with --listen",
            config.listen
        )
    })
}

fn book(config: &Config, opened: &Opened, limits: &Arc<Limits>) -> Arc<AccountBook> {
    let rates = match config.rates {
        Switch::On => Rates::on(limits),
        Switch::Off => Rates::off(),
    };
    let ports = &opened.ports;
    Arc::new(AccountBook::new(Parts {
        accounts: Arc::clone(&ports.accounts),
        names: Arc::clone(&ports.names),
        families: Arc::clone(&ports.tokens),
        secret: opened.secret.clone(),
        key: opened.key.clone(),
        rates: Arc::new(rates),
        clock: Clock::wall(),
        limits: Arc::clone(limits),
    }))
}

/// Says where everything is. Tools take the address from the first line.
fn announce(config: &Config, address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "Fanfare {version} listens on http://{address}")?;
    writeln!(out, "  REST       http://{address}/api/v1")?;
    writeln!(out, "  WebSocket  ws://{address}/ws")?;
    writeln!(
        out,
        "  health     http://{address}/readyz, /livez, /metrics"
    )?;
    writeln!(out, "  data       {}", config.data.display())?;
    if config.rates == Switch::Off {
        writeln!(
            out,
            "  RATE LIMITS ARE OFF: anybody may ask as often as they like"
        )?;
        tracing::warn!("rate limits are off: anybody may ask as often as they like");
    }
    writeln!(out, "Stop it with Ctrl-C or SIGTERM.")?;
    out.flush()
}

async fn stop_asked() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(name, "stopping");
    Ok(())
}

/// Writes what waits and frees the folder; what was acknowledged is durable
/// already, so it may be cut short.
async fn close(opened: Opened, limits: &Limits) {
    let closing = tokio::task::spawn_blocking(move || drop(opened));
    let grace = Duration::from_millis(limits.shutdown_grace_ms);
    match tokio::time::timeout(grace, closing).await {
        Ok(Ok(())) => tracing::info!("stopped"),
        Ok(Err(error)) => tracing::error!(%error, "the store ended badly"),
        Err(_) => tracing::warn!("the store takes too long to close: leaving it"),
    }
}
