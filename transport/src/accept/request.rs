//! What the accept loop adds to each request before the routes see it.
//!
//! The routes read it by `warp::ext::get`: [`PeerAddr`], [`ClientAddr`],
//! [`HttpVersion`] and [`ConnectionGuard`]. The body becomes a [`PacedBody`].

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::Either;
use hyper::body::Incoming;
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use tower_service::Service;
use warp::http::header::{CONNECTION, RETRY_AFTER};
use warp::http::{HeaderValue, Request, Response, StatusCode, Version};

use super::admission::{ConnectionGuard, OpenConnections};
use super::body::{BodyPace, PacedBody};
use super::client_address::{TrustedProxies, client_address};

/// The other end of the TCP connection: a client, or a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Whose request it is, behind trusted proxies too. Limits and logs use this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// The HTTP version of the request, which warp does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpVersion(pub Version);

/// What all connections of a listener share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) open: OpenConnections,
    pub(crate) trusted: TrustedProxies,
    pub(crate) body_pace: BodyPace,
}

/// The routes as one connection sees them.
#[derive(Debug)]
pub(crate) struct Served<S> {
    routes: TowerToHyperService<S>,
    shared: Arc<Shared>,
    peer: SocketAddr,
    guard: ConnectionGuard,
}

impl<S> Served<S> {
    pub(crate) fn new(
        routes: S,
        shared: Arc<Shared>,
        peer: SocketAddr,
        guard: ConnectionGuard,
    ) -> Self {
        Self {
            routes: TowerToHyperService::new(routes),
            shared,
            peer,
            guard,
        }
    }

    /// A proxy's requests are held in the name of its clients.
    fn guard_for(&self, client: IpAddr) -> Option<ConnectionGuard> {
        if !self.shared.trusted.contains(self.peer.ip()) {
            return Some(self.guard.clone());
        }
        match self.shared.open.admit_client(&self.guard, client) {
            Ok(guard) => Some(guard),
            Err(full) => {
                super::listener::count_refusal(full);
                None
            }
        }
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for Served<S>
where
    S: Service<Request<PacedBody>, Response = warp::reply::Response, Error = Infallible> + Clone,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Either<
        TowerToHyperServiceFuture<S, Request<PacedBody>>,
        Ready<Result<S::Response, Infallible>>,
    >;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let client = client_address(self.peer.ip(), request.headers(), &self.shared.trusted);
        let Some(guard) = self.guard_for(client) else {
            return Either::Right(ready(Ok(too_many())));
        };
        let mut request = request.map(|body| PacedBody::new(body, self.shared.body_pace));
        let version = HttpVersion(request.version());
        let extensions = request.extensions_mut();
        extensions.insert(PeerAddr(self.peer));
        extensions.insert(ClientAddr(client));
        extensions.insert(version);
        extensions.insert(guard);
        Either::Left(self.routes.call(request))
    }
}

/// For a client behind a proxy that has too many connections already; one
/// that comes directly is cut off at accept.
fn too_many() -> warp::reply::Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
