//! `/ws`: turns a request into a socket.

use std::sync::Arc;

use fanfare_protocol::{Code, Refusal};
use hyper::upgrade::OnUpgrade;
use warp::http::StatusCode;
use warp::http::header::HeaderName;
use warp::http::{HeaderMap, Method};
use warp::{Filter as _, path};

use super::Answered;
use super::answer::{error, refused};
use super::ask::Group;
use crate::TransportParts;
use crate::accept::{ClientAddr, ConnectionGuard, HttpVersion};
use crate::ws::connect::{Asked, NotConnected, connect};
use crate::ws::handshake::HandshakeRefusal;

pub(super) fn route(parts: &TransportParts) -> Group {
    let (gateway, origins) = (Arc::clone(&parts.gateway), parts.origins.clone());
    let upgrade = warp::ext::optional::<OnUpgrade>();
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    path!("ws")
        .and(warp::method())
        .and(warp::ext::get::<HttpVersion>())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(upgrade)
        .and(warp::ext::get::<ConnectionGuard>())
        .and(warp::ext::get::<ClientAddr>())
        .map(
            move |method: Method,
                  version: HttpVersion,
                  query: String,
                  headers: HeaderMap,
                  upgrade: Option<OnUpgrade>,
                  guard: ConnectionGuard,
                  client: ClientAddr| {
                let asked = Asked {
                    method,
                    version,
                    query,
                    headers,
                    upgrade,
                    guard,
                    client,
                };
                match connect(&gateway, &origins, asked) {
                    Ok(acceptance) => acceptance.response(),
                    Err(NotConnected::Refused(refusal)) => refused(&refusal),
                    Err(NotConnected::Handshake(refusal)) => not_a_socket(refusal),
                }
            },
        )
        .boxed()
}

fn not_a_socket(refusal: HandshakeRefusal) -> Answered {
    let status = StatusCode::from_u16(refusal.status().as_u16()).unwrap_or(StatusCode::BAD_REQUEST);
    let code = match refusal {
        HandshakeRefusal::OriginForbidden => Code::Forbidden,
        HandshakeRefusal::VersionUnsupported | HandshakeRefusal::NoCommonProtocol => {
            Code::UnsupportedVersion
        }
        HandshakeRefusal::NotGet
        | HandshakeRefusal::NotHttp11
        | HandshakeRefusal::NotAnUpgrade
        | HandshakeRefusal::BadKey
        | HandshakeRefusal::TokenInQuery => Code::InvalidFrame,
    };
    let mut answer = error(status, &Refusal::new(code, refusal.to_string()));
    for (name, value) in refusal.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), (*value).parse()) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}
