//! `fanfare serve`: from the configuration to a running server, and back to
//! an exit with everything written.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use fanfare_actors::account::{AccountBook, Clock, Parts};
use fanfare_actors::lease::Tenancy;
use fanfare_actors::node::{Node, NodeParts};
use fanfare_actors::rates::Rates;
use fanfare_engine::lease::Terms;
use fanfare_engine::port::Ownership;
use fanfare_protocol::Limits;
use fanfare_protocol::limits::STORE_CLOSE_MS_MIN;
use fanfare_storage::copy::{Tally, is_unfinished};
use fanfare_transport::accept::{AcceptLimits, Listener, Tls, TrustedProxies};
use fanfare_transport::ws::handshake::AllowedOrigins;
use fanfare_transport::{Health, TransportParts};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::config::{Config, Store, Switch};
use crate::control::Control;
use crate::doctor::files;
use crate::open::{Opened, cql, open};
use crate::telemetry::Metrics;
use crate::tls::{self, ReloadSignal};

/// Runs the server until SIGTERM or SIGINT.
///
/// # Errors
/// A sentence for people when it cannot start.
pub async fn serve(mut config: Config) -> anyhow::Result<()> {
    let stop_signals = StopSignals::catch()?;
    let reload_signal = ReloadSignal::catch()?;
    let metrics = Metrics::install().context("cannot count anything")?;
    tokio::spawn(metrics.clone().fold());
    config.limits.connections_max = files::raise(&config.limits);
    let limits = Arc::new(config.limits.clone());
    let tls = tls::load(&config)?;
    let opened = open(&config).await?;
    let listener = bind(&config, tls.clone())?;
    let address = listener.local_addr().context("cannot tell the address")?;
    let node = Arc::new(start(&config, &opened, &limits).await?);
    let (stop, stopped) = watch::channel(false);
    let health = health(&opened, &node, &stopped, metrics);
    let grace = Duration::from_millis(limits.shutdown_grace_ms);
    let open_connections = listener.open();
    let parts = TransportParts {
        gateway: node.gateway(),
        health,
        origins: AllowedOrigins::new(&config.origins),
    };
    let serving = tokio::spawn(fanfare_transport::serve(listener, parts, stopped, grace));
    tokio::spawn(reload_signal.obey(tls));
    let control = control(&config, &opened);
    tracing::info!(%address, data = %config.data.display(), "listening");
    announce(&config, &opened, address).context("cannot print where the server is")?;
    stop_signals.asked().await;
    let deadline = Instant::now() + grace;
    // Everybody who asks for a token or a socket now hears "no more".
    let _ = stop.send(true);
    node.drain();
    let quiet = async {
        let _ = serving.await;
        open_connections.all_closed().await;
    };
    if timeout_at(deadline, quiet).await.is_err() {
        tracing::warn!(open = open_connections.count(), "connections cut off");
    }
    node.stop().await;
    drop(control);
    close(opened, deadline).await;
    Ok(())
}

/// Claims the data, starts the actors, finishes what the last process left
/// in the middle.
async fn start(config: &Config, opened: &Opened, limits: &Arc<Limits>) -> anyhow::Result<Node> {
    let ports = &opened.ports;
    let unfinished = Tally::default().again(|| is_unfinished(ports)).await;
    if unfinished.context("cannot read the data")? {
        bail!("cannot serve a store into which a copy did not end; run `fanfare store copy` again");
    }
    let rates = Arc::new(match config.rates {
        Switch::On => Rates::on(limits),
        Switch::Off => Rates::off(),
    });
    let node = Node::start(NodeParts {
        log: Arc::clone(&ports.log),
        members: Arc::clone(&ports.members),
        inbox: Arc::clone(&ports.inbox),
        marks: Arc::clone(&ports.marks),
        names: Arc::clone(&ports.names),
        tenancy: tenancy(opened).await?,
        accounts: book(opened, &rates, limits),
        rates,
        secret: opened.secret.clone(),
        shards: std::thread::available_parallelism().map_or(1, usize::from),
        limits: Arc::clone(limits),
    })
    .await
    .context("cannot start")?;
    Ok(node)
}

/// Claims everything at once where this process has the store to itself.
async fn tenancy(opened: &Opened) -> anyhow::Result<Tenancy> {
    let ports = &opened.ports;
    if let Some(node) = opened.node() {
        return Ok(Tenancy::Leased {
            leases: Arc::clone(&ports.leases),
            node: node.name().clone(),
            folder_locked: node.predecessor_ended(),
            terms: Terms::default(),
        });
    }
    let sole = ports.sole.as_ref().context("the store is nobody's alone")?;
    let epoch = sole.claim_slots().await;
    let epoch = epoch.context("cannot claim the data")?;
    Ok(Tenancy::Sole(Arc::clone(sole) as Arc<dyn Ownership>, epoch))
}

/// Without it people cannot back up the running server; they talk all the same.
fn control(config: &Config, opened: &Opened) -> Option<Control> {
    let backups = opened.backups()?;
    Control::listen(&config.data, backups)
        .inspect_err(
            |error| tracing::warn!(%error, "no control socket: stop the server to back up"),
        )
        .ok()
}

fn health(
    opened: &Opened,
    node: &Arc<Node>,
    stopped: &watch::Receiver<bool>,
    metrics: Metrics,
) -> Health {
    let node = Arc::clone(node);
    let readiness = Arc::clone(&opened.ports.readiness);
    let stopped = stopped.clone();
    Health {
        ready: Arc::new(move || {
            if *stopped.borrow() {
                return Err("shutting down".to_owned());
            }
            readiness.ready()?;
            node.ready()
        }),
        metrics: Arc::new(move || metrics.render()),
    }
}

fn bind(config: &Config, tls: Option<Arc<Tls>>) -> anyhow::Result<Listener> {
    let trusted = TrustedProxies::new(config.trusted_networks()?);
    let limits = AcceptLimits::from(&config.limits);
    let listener = Listener::bind(config.listen, limits, trusted).with_context(|| {
        format!(
            "cannot listen on {}; stop what listens there or choose another address with --listen",
            config.listen
        )
    })?;
    Ok(match tls {
        Some(tls) => listener.with_tls(tls),
        None => listener,
    })
}

fn book(opened: &Opened, rates: &Arc<Rates>, limits: &Arc<Limits>) -> Arc<AccountBook> {
    let ports = &opened.ports;
    Arc::new(AccountBook::new(Parts {
        accounts: Arc::clone(&ports.accounts),
        names: Arc::clone(&ports.names),
        families: Arc::clone(&ports.tokens),
        secret: opened.secret.clone(),
        key: opened.key.clone(),
        rates: Arc::clone(rates),
        clock: Clock::wall(),
        limits: Arc::clone(limits),
    }))
}

/// Says where everything is. Tools take the address from the first line.
fn announce(config: &Config, opened: &Opened, address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let version = env!("CARGO_PKG_VERSION");
    let (http, ws) = match config.tls_cert {
        Some(_) => ("https", "wss"),
        None => ("http", "ws"),
    };
    writeln!(out, "Fanfare {version} listens on {http}://{address}")?;
    writeln!(out, "  REST       {http}://{address}/api/v1")?;
    writeln!(out, "  WebSocket  {ws}://{address}/ws")?;
    writeln!(
        out,
        "  health     {http}://{address}/readyz, /livez, /metrics"
    )?;
    let store = match config.store {
        Store::Embedded => "embedded, in the data folder".to_owned(),
        Store::Cql => format!("CQL, {}", cql::place(config)),
    };
    writeln!(out, "  store      {store}")?;
    if let Some(node) = opened.node() {
        writeln!(out, "  node       {}", node.name().as_str())?;
    }
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

/// Caught before anything else is done: whoever sees the server ready may
/// stop it, and one that comes earlier is obeyed once it is.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn catch() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
        })
    }

    async fn asked(mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        tracing::info!(name, "stopping");
    }
}

/// Writes what waits and frees the folder; what was acknowledged is durable
/// already, so it may be cut short.
async fn close(opened: Opened, deadline: Instant) {
    let closing = tokio::task::spawn_blocking(move || drop(opened));
    // At least a second: a journal that is not closed is read again.
    let deadline = deadline.max(Instant::now() + Duration::from_millis(STORE_CLOSE_MS_MIN));
    match timeout_at(deadline, closing).await {
        Ok(Ok(())) => tracing::info!("stopped"),
        Ok(Err(error)) => tracing::error!(%error, "the store ended badly"),
        Err(_) => tracing::warn!("the store takes too long to close: leaving it"),
    }
}
