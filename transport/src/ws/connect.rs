//! `GET /ws`: the handshake, who asks, and the hand-over of the raw socket.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_actors::account::Identity;
use fanfare_actors::fanout::{Format, Wire, close_frame};
use fanfare_actors::gateway::Gateway;
use fanfare_protocol::limits::FIELD_NAME_CHARS_MAX;
use fanfare_protocol::{Limits, Refusal};
use hyper::upgrade::OnUpgrade;
use warp::http::{HeaderMap, Method};

use super::handshake::{
    Acceptance, AllowedOrigins, HandshakeRefusal, Subprotocol, UpgradeRequest, accept,
};
use super::inbound::Inbound;
use super::reader::read;
use crate::accept::{ClientAddr, ConnectionGuard, HttpVersion, into_wire};
use crate::credentials::bearer;

/// What an upgrade request brings.
pub(crate) struct Asked {
    pub method: Method,
    pub version: HttpVersion,
    pub query: String,
    pub headers: HeaderMap,
    pub upgrade: Option<OnUpgrade>,
    pub guard: ConnectionGuard,
    pub client: ClientAddr,
}

/// Why there is no socket.
pub(crate) enum NotConnected {
    /// The handshake is wrong.
    Handshake(HandshakeRefusal),
    /// The credentials are, or the node is full.
    Refused(Refusal),
}

/// Judges the request, then takes the socket over in a task of its own once
/// the returned 101 is out.
pub(crate) fn connect(
    gateway: &Arc<Gateway>,
    origins: &AllowedOrigins,
    mut asked: Asked,
) -> Result<Acceptance, NotConnected> {
    let request = UpgradeRequest {
        method: &asked.method,
        version: asked.version.0,
        query: Some(&asked.query),
        headers: &asked.headers,
    };
    let acceptance = accept(request, origins).map_err(NotConnected::Handshake)?;
    let Some(upgrade) = asked.upgrade.take() else {
        return Err(NotConnected::Handshake(HandshakeRefusal::NotAnUpgrade));
    };
    let identity = identity(gateway, &asked).map_err(NotConnected::Refused)?;
    let format = match acceptance.protocol {
        Subprotocol::Json => Format::Json,
        Subprotocol::MsgPack => Format::MsgPack,
    };
    let (gateway, client) = (Arc::clone(gateway), asked.client);
    let limits = Arc::clone(gateway.limits());
    tokio::spawn(take_over(upgrade, asked.guard, limits, move |wire| {
        gateway.connect(wire, format, client.0, identity)
    }));
    Ok(acceptance)
}

/// Takes the socket from HTTP once the 101 is out and reads it to its end.
/// `attach` gives its writing side to a shard and says whom its messages are
/// for; a refusal closes it with 1013.
pub fn take_over<I: Inbound>(
    upgrade: OnUpgrade,
    guard: ConnectionGuard,
    limits: Arc<Limits>,
    attach: impl FnOnce(Wire) -> Result<I, Refusal> + Send,
) -> impl Future<Output = ()> + Send {
    // Boxed: what the hand-over needs is not kept as long as the connection.
    let taken = Box::pin(taken(upgrade, attach));
    async move {
        if let Some((wire, early, inbound)) = taken.await {
            read(wire, early, inbound, limits).await;
        }
        // The connection counts until its reader is done.
        drop(guard);
    }
}

async fn taken<I: Inbound>(
    upgrade: OnUpgrade,
    attach: impl FnOnce(Wire) -> Result<I, Refusal> + Send,
) -> Option<(Wire, Bytes, I)> {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "client left before the upgrade");
            return None;
        }
    };
    let Ok((wire, early)) = into_wire(upgraded) else {
        tracing::error!("an upgraded connection of another accept loop");
        return None;
    };
    match attach(wire.clone()) {
        Ok(inbound) => Some((wire, early, inbound)),
        Err(refusal) => {
            tracing::debug!(%refusal, "socket not taken");
            wire.refuse(&close_frame(1013, "try again later"));
            None
        }
    }
}

/// `Authorization` first, then a one-use ticket; none is fine, hello may
/// bring some. Nothing else stands in the query.
fn identity(gateway: &Gateway, asked: &Asked) -> Result<Option<Identity>, Refusal> {
    gateway.rates().request(asked.client.0)?;
    let mut ticket = None;
    for (name, value) in form_urlencoded::parse(asked.query.as_bytes()) {
        if name != "ticket" {
            let name: String = name.chars().take(FIELD_NAME_CHARS_MAX).collect();
            return Err(Refusal::field(name, "unknown parameter"));
        }
        if ticket.replace(value).is_some() {
            return Err(Refusal::field("ticket", "given twice"));
        }
    }
    let accounts = gateway.accounts();
    match (bearer(&asked.headers)?, ticket) {
        (Some(token), _) => accounts.authenticate(token).map(Some),
        (None, Some(ticket)) => accounts.redeem_ticket(&ticket).map(Some),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use fanfare_actors::gateway::Connection;

    use super::*;

    fn bytes_of<A, B, C, F: Future>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_waits_for_a_connection_is_small() {
        let bytes = bytes_of(|upgrade, guard, limits| {
            let attach = |_| -> Result<Connection, Refusal> { unreachable!() };
            take_over(upgrade, guard, limits, attach)
        });
        assert!(bytes <= 704, "{bytes} bytes for each connection");
    }
}
