//! The accept loop: bind, admit, serve HTTP/1.1 with deadlines, drain.
//!
//! Everything a stranger can do before a request reaches the routes is
//! bounded here; what the routes then do is not looked at.

use std::convert::Infallible;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fanfare_protocol::limits::{
    ACCEPT_PAUSE_MS_MAX, ACCEPT_PAUSE_MS_MIN, Limits, NOTSENT_LOWAT_BYTES, UNACKNOWLEDGED_MS_MAX,
};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tower_service::Service;
use warp::http::Request;

use super::admission::{ConnectionGuard, Full, OpenConnections};
use super::body::{BodyPace, PacedBody};
use super::client_address::TrustedProxies;
use super::request::{Served, Shared};
use super::stream::{HttpStream, PacedStream};
use super::tls::Tls;

/// What the accept loop allows; the numbers come from [`Limits`].
#[derive(Debug, Clone)]
pub struct AcceptLimits {
    /// Connections the kernel holds before we accept them.
    pub backlog: u32,
    /// Open connections in all, upgraded sockets included.
    pub connections_max: usize,
    /// Open connections of one address (IPv6: one /64).
    pub connections_per_address_max: usize,
    /// Unsent bytes in the kernel above which a socket is not writable.
    pub unsent_bytes: u32,
    /// Sent data without acknowledgement for this long ends a connection.
    pub unacknowledged_time_max: Duration,
    /// From accept, or the end of the last request, to the end of the headers.
    pub header_time_max: Duration,
    /// Request line and headers together, in bytes.
    pub header_bytes_max: usize,
    /// Number of headers.
    pub headers_max: usize,
    /// How slow a request body may be.
    pub body_pace: BodyPace,
    /// A response the client takes nothing of for this long ends the connection.
    pub response_stalled_time_max: Duration,
    /// First pause when accepting fails (out of file descriptors); it doubles.
    pub failure_pause_min: Duration,
    /// Longest such pause, and the least time between two log lines about it.
    pub failure_pause_max: Duration,
}

/// A bound socket that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    limits: AcceptLimits,
    shared: Arc<Shared>,
    tls: Option<Arc<Tls>>,
}

/// How the drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// HTTP connections that were still busy when the grace was over.
    pub cut_off: usize,
}

impl Listener {
    /// Binds `address` (port 0 takes a free one) with `SO_REUSEADDR`.
    ///
    /// # Errors
    /// What the system says: address in use, not permitted, not ours.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(
        address: SocketAddr,
        limits: AcceptLimits,
        trusted: TrustedProxies,
    ) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(limits.backlog).unwrap_or(i32::MAX))?;
        let open = OpenConnections::new(limits.connections_max, limits.connections_per_address_max);
        Ok(Self {
            tcp: TcpListener::from_std(socket.into())?,
            shared: Arc::new(Shared {
                open,
                trusted,
                body_pace: limits.body_pace,
            }),
            limits,
            tls: None,
        })
    }

    /// The same, and every connection begins with a TLS handshake.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<Tls>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not know, which it does for a bound socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// A view of its connections that outlives it.
    #[must_use]
    pub fn open(&self) -> OpenConnections {
        self.shared.open.clone()
    }

    /// Serves `routes` (`warp::service(…)`) until `shutdown` turns true or its
    /// sender is gone; then accepts nothing more, lets requests under way
    /// finish for at most `grace`, and returns when no HTTP connection is left.
    /// Upgraded sockets are not touched: closing them is up to whoever took
    /// them, [`OpenConnections::all_closed`] waits for it.
    pub async fn serve<S>(
        self,
        routes: S,
        mut shutdown: watch::Receiver<bool>,
        grace: Duration,
    ) -> Drained
    where
        S: Service<Request<PacedBody>, Response = warp::reply::Response, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
    {
        let manners = Arc::new(Manners {
            http: self.limits.http(),
            tls: self.tls.clone(),
            grace,
            cut_off: AtomicUsize::new(0),
        });
        let mut failures = AcceptFailures::new(&self.limits);
        // Every connection task holds a receiver: closed when all have ended.
        let tasks = watch::Sender::new(());
        loop {
            let accepted = tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                accepted = self.tcp.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    let pause = failures.pause(&error, Instant::now());
                    // Cut short by the shutdown, which the loop sees itself.
                    let _ = tokio::time::timeout(pause, shutdown.wait_for(|stop| *stop)).await;
                    continue;
                }
            };
            failures.over();
            let Some((stream, guard)) = self.admit(stream, peer) else {
                continue;
            };
            let served = Served::new(routes.clone(), Arc::clone(&self.shared), peer, guard);
            let (task, manners, shutdown) =
                (tasks.subscribe(), Arc::clone(&manners), shutdown.clone());
            tokio::spawn(async move {
                let _task = task;
                manners.attend(stream, served, peer, shutdown).await;
            });
        }
        drop(self.tcp);
        tasks.closed().await;
        Drained {
            cut_off: manners.cut_off.load(Ordering::Relaxed),
        }
    }

    /// Counts a new connection and sets its socket up; `None` closes it.
    fn admit(&self, stream: TcpStream, peer: SocketAddr) -> Option<(PacedStream, ConnectionGuard)> {
        let address = peer.ip().to_canonical();
        let counted = !self.shared.trusted.contains(address);
        let guard = match self.shared.open.admit(counted.then_some(address)) {
            Ok(guard) => guard,
            Err(full) => {
                count_refusal(full);
                // In the middle of a TLS handshake nobody would understand it.
                if full == Full::Total && self.tls.is_none() {
                    say_unavailable(stream);
                }
                return None;
            }
        };
        if let Err(error) = self.limits.set_up(&stream) {
            // The client has gone already.
            tracing::debug!(%peer, %error, "socket could not be set up");
            return None;
        }
        metrics::counter!("fanfare_connections_accepted_total").increment(1);
        let stream = PacedStream::new(stream, self.limits.response_stalled_time_max);
        Some((stream, guard))
    }
}

/// How all connections of one listener are treated.
struct Manners {
    http: http1::Builder,
    tls: Option<Arc<Tls>>,
    grace: Duration,
    /// HTTP connections that were busy for longer than the grace.
    cut_off: AtomicUsize,
}

impl Manners {
    /// One connection from its first byte to its end or upgrade.
    async fn attend<S>(
        &self,
        stream: PacedStream,
        served: Served<S>,
        peer: SocketAddr,
        mut shutdown: watch::Receiver<bool>,
    ) where
        S: Service<Request<PacedBody>, Response = warp::reply::Response, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
    {
        let stream = match &self.tls {
            None => HttpStream::Plain(stream),
            Some(tls) => tokio::select! {
                // Nobody has asked for anything yet.
                _ = shutdown.wait_for(|stop| *stop) => return,
                shaken = tls.accept(stream, peer) => match shaken {
                    Some(stream) => stream,
                    None => return,
                },
            },
        };
        let connection = self.http.serve_connection(TokioIo::new(stream), served);
        let mut connection = pin!(connection.with_upgrades());
        tokio::select! {
            ended = connection.as_mut() => return log_end(peer, ended),
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
        connection.as_mut().graceful_shutdown();
        match tokio::time::timeout(self.grace, connection).await {
            Ok(ended) => log_end(peer, ended),
            Err(_) => {
                self.cut_off.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

pub(crate) fn count_refusal(full: Full) {
    metrics::counter!("fanfare_connections_refused_total", "limit" => full.reason()).increment(1);
}

impl From<&Limits> for AcceptLimits {
    fn from(limits: &Limits) -> Self {
        let ms = Duration::from_millis;
        Self {
            backlog: limits.accept_backlog,
            connections_max: limits.connections_max,
            connections_per_address_max: limits.connections_per_address_max,
            unsent_bytes: NOTSENT_LOWAT_BYTES,
            unacknowledged_time_max: ms(UNACKNOWLEDGED_MS_MAX),
            header_time_max: ms(limits.header_ms_max),
            header_bytes_max: limits.header_bytes_max,
            headers_max: limits.headers_max,
            body_pace: BodyPace {
                grace: ms(limits.body_grace_ms),
                bytes_per_s_min: limits.body_bytes_per_s_min,
            },
            response_stalled_time_max: ms(limits.response_stalled_ms_max),
            failure_pause_min: ms(ACCEPT_PAUSE_MS_MIN),
            failure_pause_max: ms(ACCEPT_PAUSE_MS_MAX),
        }
    }
}

impl AcceptLimits {
    fn http(&self) -> http1::Builder {
        // hyper panics below 8 KiB; `max_header_size` holds the real limit.
        let buffer_bytes = self.header_bytes_max.max(8 * 1024);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.header_time_max)
            .max_header_size(self.header_bytes_max)
            .max_buf_size(buffer_bytes)
            .max_headers(self.headers_max);
        http
    }

    fn set_up(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        {
            let socket = SockRef::from(stream);
            socket.set_tcp_notsent_lowat(self.unsent_bytes)?;
            socket.set_tcp_user_timeout(Some(self.unacknowledged_time_max))?;
        }
        Ok(())
    }
}

/// Tries to leave an answer in the socket's empty buffer before it closes.
fn say_unavailable(stream: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
        connection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    if let Ok(mut stream) = stream.into_std() {
        // Whether it arrives does not matter: the connection ends anyway.
        let _ = stream.write(ANSWER);
    }
}

fn log_end(peer: SocketAddr, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// How long to wait and what to log when accepting fails.
#[derive(Debug)]
struct AcceptFailures {
    pause_min: Duration,
    pause_max: Duration,
    next_pause: Duration,
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl AcceptFailures {
    fn new(limits: &AcceptLimits) -> Self {
        Self {
            pause_min: limits.failure_pause_min,
            pause_max: limits.failure_pause_max,
            next_pause: limits.failure_pause_min,
            logged_at: None,
            unlogged: 0,
        }
    }

    /// A connection that died in the backlog is its own affair; anything else
    /// (EMFILE, ENFILE, ENOBUFS, ENOMEM) would return at once, again and again.
    fn pause(&mut self, error: &io::Error, now: Instant) -> Duration {
        let of_one_connection = matches!(
            error.kind(),
            ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionRefused
                | ErrorKind::Interrupted
        );
        if of_one_connection {
            return Duration::ZERO;
        }
        metrics::counter!("fanfare_accept_failures_total").increment(1);
        self.log(error, now);
        let pause = self.next_pause;
        self.next_pause = pause.saturating_mul(2).min(self.pause_max);
        pause
    }

    fn log(&mut self, error: &io::Error, now: Instant) {
        let is_due = self.logged_at.is_none_or(|at| now - at >= self.pause_max);
        if is_due {
            tracing::error!(%error, unlogged = self.unlogged, "cannot accept connections");
            self.logged_at = Some(now);
            self.unlogged = 0;
        } else {
            self.unlogged += 1;
        }
    }

    fn over(&mut self) {
        self.next_pause = self.pause_min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMFILE: i32 = 24;

    fn failures() -> AcceptFailures {
        AcceptFailures {
            pause_min: Duration::from_millis(10),
            pause_max: Duration::from_secs(1),
            next_pause: Duration::from_millis(10),
            logged_at: None,
            unlogged: 0,
        }
    }

    #[test]
    fn without_descriptors_the_pauses_double_up_to_the_longest() {
        let mut failures = failures();
        let error = io::Error::from_raw_os_error(EMFILE);
        let now = Instant::now();
        let pauses: Vec<_> = (0..9)
            .map(|_| failures.pause(&error, now).as_millis())
            .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        failures.over();
        assert_eq!(failures.pause(&error, now).as_millis(), 10);
    }

    #[test]
    fn the_log_line_comes_once_a_second_and_counts_the_rest() {
        let mut failures = failures();
        let error = io::Error::from_raw_os_error(EMFILE);
        let start = Instant::now();
        for ms in [0, 10, 999] {
            failures.pause(&error, start + Duration::from_millis(ms));
        }
        assert_eq!((failures.logged_at, failures.unlogged), (Some(start), 2));
        let later = start + Duration::from_secs(1);
        failures.pause(&error, later);
        assert_eq!((failures.logged_at, failures.unlogged), (Some(later), 0));
    }

    #[test]
    fn a_connection_that_died_in_the_backlog_costs_no_pause() {
        let mut failures = failures();
        let error = io::Error::from(ErrorKind::ConnectionAborted);
        assert_eq!(failures.pause(&error, Instant::now()), Duration::ZERO);
        assert_eq!(failures.logged_at, None);
    }
}
