//! A server that says back what it is told: the accept loop, handshake,
//! reader and fan-out shard of the product, and in place of sessions an
//! [`Inbound`] of three lines. The conformance tests talk to it, here and, as
//! `examples/echo.rs`, those of Autobahn.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fanfare_actors::fanout::{
    Close, Fanout, Feed, Format, SocketHandle, Source, Watch, Wire, text_frame,
};
use fanfare_protocol::{ConversationId, Limits, Refusal, UserId};
use fanfare_transport::accept::{
    AcceptLimits, ConnectionGuard, HttpVersion, Listener, TrustedProxies,
};
use fanfare_transport::ws::handshake::{self, AllowedOrigins, UpgradeRequest};
use fanfare_transport::ws::{Inbound, Payload, take_over};
use hyper::upgrade::OnUpgrade;
use tokio::sync::watch;
use warp::Filter;
use warp::http::{HeaderMap, Method, Response};

/// Serves until this value is dropped.
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
    _stop: watch::Sender<bool>,
}

/// What the suite needs: messages of 16 MiB, and the time to send them in
/// frames of 64 bytes from a slow client.
pub fn large_limits() -> Limits {
    const MESSAGE_BYTES: usize = 16 << 20;
    const PATIENCE_MS: u64 = 300_000;
    Limits {
        frame_bytes_max: MESSAGE_BYTES,
        inbound_message_bytes_max: MESSAGE_BYTES,
        inbound_message_ms_max: PATIENCE_MS,
        // An echo and its header fit twice.
        control_queue_bytes_max: 3 * MESSAGE_BYTES,
        heartbeat_ms: PATIENCE_MS,
        slow_reader_ms_max: PATIENCE_MS,
        ..Limits::default()
    }
}

impl Echo {
    /// Listens on `address` (port 0 takes a free one).
    ///
    /// # Errors
    /// What the system says.
    pub fn start(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let limits = Arc::new(limits);
        let fanout = Fanout::start(1, &limits, Arc::new(NoLog));
        let accept = AcceptLimits::from(&*limits);
        let listener = Listener::bind(address, accept, TrustedProxies::default())?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let routes = warp::service(route(fanout, limits));
        tokio::spawn(listener.serve(routes, stopped, Duration::ZERO));
        Ok(Self {
            address,
            _stop: stop,
        })
    }
}

/// Every path, every subprotocol that the server knows, or none.
fn route(
    fanout: Fanout,
    limits: Arc<Limits>,
) -> impl Filter<Extract = (Response<String>,), Error = warp::Rejection> + Clone {
    warp::method()
        .and(warp::ext::get::<HttpVersion>())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<OnUpgrade>())
        .and(warp::ext::get::<ConnectionGuard>())
        .map(
            move |method: Method, version: HttpVersion, headers: HeaderMap, upgrade, guard| {
                let request = UpgradeRequest {
                    method: &method,
                    version: version.0,
                    query: None,
                    headers: &headers,
                };
                match handshake::accept(request, &AllowedOrigins::default()) {
                    Ok(acceptance) => {
                        let (limits, fanout) = (Arc::clone(&limits), fanout.clone());
                        let attach = move |wire| EchoSession::attach(&fanout, wire);
                        tokio::spawn(take_over(upgrade, guard, limits, attach));
                        acceptance.response()
                    }
                    Err(refusal) => {
                        let mut response = Response::new(refusal.to_string());
                        *response.status_mut() = refusal.status();
                        response
                    }
                }
            },
        )
}

struct EchoSession {
    socket: SocketHandle,
}

impl EchoSession {
    fn attach(fanout: &Fanout, wire: Wire) -> Result<Self, Refusal> {
        let socket = fanout.attach(wire, Format::Json, |_| Some(Arc::new(NoSession)));
        let socket = socket.ok_or_else(|| Refusal::unavailable("no shard"))?;
        // Whoever it is: a socket that nobody has said hello on is closed.
        socket.identify(UserId::from_bytes([0; 16]), u64::MAX / 2);
        Ok(Self { socket })
    }
}

impl Inbound for EchoSession {
    fn socket(&self) -> &SocketHandle {
        &self.socket
    }

    async fn take(&self, payload: Payload) -> Result<(), Close> {
        const BINARY: u8 = 0x82;
        self.socket.send(match payload {
            Payload::Text(text) => text_frame(text.as_bytes()),
            Payload::Binary(bytes) => {
                let mut frame = BytesMut::from(text_frame(&bytes));
                frame[0] = BINARY;
                frame.freeze()
            }
        });
        Ok(())
    }

    fn closed(&self) {
        self.socket.gone();
    }
}

struct NoLog;

impl Source for NoLog {
    fn fetch(&self, _shard: usize, _feed: Feed, _page: u64) {}
    fn refollow(&self, _shard: usize, _feed: Feed, _head: u64) {}
    fn idle(&self, _shard: usize, _feed: Feed, _hold: u64) {}
}

struct NoSession;

impl Watch for NoSession {
    fn ended(&self, _conversation: ConversationId) {}
    fn closed(&self) {}
}
