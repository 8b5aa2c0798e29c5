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
use warp::http::header::{CONNECTION, HOST, RETRY_AFTER};
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
        if !names_its_host(&request) {
            return Either::Right(ready(Ok(turned_away(StatusCode::BAD_REQUEST))));
        }
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

/// Once, but that HTTP/1.0 may leave it out (RFC 9112, 3.2).
fn names_its_host<B>(request: &Request<B>) -> bool {
    match request.headers().get_all(HOST).iter().count() {
        0 => request.version() < Version::HTTP_11,
        count => count == 1,
    }
}

/// For a client behind a proxy that has too many connections already; one
/// that comes directly is cut off at accept.
fn too_many() -> warp::reply::Response {
    let mut response = turned_away(StatusCode::SERVICE_UNAVAILABLE);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// An answer that no route gives, and the last one.
fn turned_away(status: StatusCode) -> warp::reply::Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
