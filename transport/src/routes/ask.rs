//! A request as routes see it: address, credentials, key, query, body, each
//! read strictly and with a typed refusal.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use fanfare_actors::account::{AccountBook, Identity};
use fanfare_actors::gateway::{Draft, Gateway};
use fanfare_engine::room::Accepted;
use fanfare_protocol::command::Command;
use fanfare_protocol::decode::decode;
use fanfare_protocol::frame::check_key;
use fanfare_protocol::{Code, ConversationId, Refusal, UserId};
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use warp::filters::BoxedFilter;
use warp::http::HeaderMap;
use warp::http::header::{AUTHORIZATION, CONTENT_TYPE};
use warp::{Filter, Rejection};

use super::Answered;
use super::answer::refused;
use crate::TransportParts;
use crate::accept::ClientAddr;

/// Makes [`Ask`]s; every route group has one.
#[derive(Clone)]
pub(super) struct Asks {
    gateway: Arc<Gateway>,
}

/// One request.
pub(super) struct Ask {
    pub gateway: Arc<Gateway>,
    pub address: IpAddr,
    headers: HeaderMap,
    query: String,
    body: Result<Bytes, Refusal>,
}

impl Asks {
    pub fn new(parts: &TransportParts) -> Self {
        Self {
            gateway: Arc::clone(&parts.gateway),
        }
    }

    /// Takes a request whole, its body at most `body_bytes_max`.
    pub fn ask(&self) -> BoxedFilter<(Ask,)> {
        let gateway = Arc::clone(&self.gateway);
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        warp::ext::get::<ClientAddr>()
            .and(warp::header::headers_cloned())
            .and(query)
            .and(warp::body::stream())
            .then(move |client: ClientAddr, headers, query, body| {
                let gateway = Arc::clone(&gateway);
                async move {
                    let body = collect(body, gateway.limits().body_bytes_max).await;
                    Ask {
                        gateway,
                        address: client.0,
                        headers,
                        query,
                        body,
                    }
                }
            })
            .boxed()
    }
}

/// Runs a route's handler behind the checks that every request passes.
pub(super) async fn handle<F>(ask: Ask, handler: impl FnOnce(Ask) -> F) -> Answered
where
    F: Future<Output = Result<Answered, Refusal>>,
{
    let result = match ask.passes() {
        Ok(()) => handler(ask).await,
        Err(refusal) => Err(refusal),
    };
    result.unwrap_or_else(|refusal| refused(&refusal))
}

impl Ask {
    fn passes(&self) -> Result<(), Refusal> {
        self.gateway.rates().request(self.address)?;
        let mut names = form_urlencoded::parse(self.query.as_bytes()).map(|(name, _)| name);
        if names.any(|name| name == "token" || name == "access_token") {
            // Query strings end in logs.
            let why = "a token in the query is refused, use the authorization header";
            return Err(Refusal::new(Code::InvalidFrame, why));
        }
        Ok(())
    }

    /// Accounts.
    pub fn accounts(&self) -> &AccountBook {
        self.gateway.accounts()
    }

    /// Who asks.
    pub fn identity(&self) -> Result<Identity, Refusal> {
        let missing = || Refusal::new(Code::Unauthenticated, "no bearer token");
        let value = self.headers.get(AUTHORIZATION).ok_or_else(missing)?;
        let token = value
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Bearer "));
        self.accounts()
            .authenticate(token.ok_or_else(missing)?.trim())
    }

    /// Who asks, as a user.
    pub fn user(&self) -> Result<UserId, Refusal> {
        self.identity().map(|identity| identity.user)
    }

    /// The idempotency key.
    pub fn key(&self) -> Result<Option<String>, Refusal> {
        let Some(value) = self.headers.get("idempotency-key") else {
            return Ok(None);
        };
        let key = value
            .to_str()
            .map_err(|_| Refusal::field("key", "not ASCII"))?;
        check_key(key)?;
        Ok(Some(key.to_owned()))
    }

    /// The JSON body.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let body = self.body.as_ref().map_err(Refusal::clone)?;
        let json = self.headers.get(CONTENT_TYPE).is_none_or(|kind| {
            kind.to_str().is_ok_and(|kind| {
                let kind = kind.split(';').next().unwrap_or_default().trim();
                kind.eq_ignore_ascii_case("application/json")
            })
        });
        if !json {
            return Err(Refusal::new(
                Code::InvalidFrame,
                "the body must be application/json",
            ));
        }
        decode(body)
    }

    /// Values of the named query parameters, in their order; others are
    /// refused by name.
    pub fn query<const N: usize>(&self, names: [&str; N]) -> Result<[Option<String>; N], Refusal> {
        let mut values = [const { None }; N];
        for (name, value) in form_urlencoded::parse(self.query.as_bytes()) {
            let Some(at) = names.iter().position(|known| *known == name) else {
                let name: String = name.chars().take(64).collect();
                return Err(Refusal::field(name, "unknown parameter"));
            };
            if values[at].replace(value.into_owned()).is_some() {
                return Err(Refusal::field(names[at], "given twice"));
            }
        }
        Ok(values)
    }

    /// Sends a command to a conversation as whoever asks.
    pub async fn submit(
        &self,
        conversation: ConversationId,
        command: Command,
    ) -> Result<Accepted, Refusal> {
        let (caller, key) = (self.user()?, self.key()?);
        self.gateway
            .submit(Draft {
                caller,
                conversation,
                command,
                key,
            })
            .await
    }
}

/// A number in the query.
pub(super) fn number<T: std::str::FromStr>(
    name: &str,
    value: Option<String>,
) -> Result<Option<T>, Refusal> {
    value
        .map(|value| {
            value
                .parse()
                .map_err(|_| Refusal::field(name, "not a number in range"))
        })
        .transpose()
}

/// An id in the path: what is none names nothing.
pub(super) fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Refusal> {
    text.parse().map_err(|_| Refusal::not_found(what))
}

async fn collect<S, B>(body: S, bytes_max: usize) -> Result<Bytes, Refusal>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    let mut whole = BytesMut::new();
    futures_util::pin_mut!(body);
    while let Some(part) = body.next().await {
        let part = part.map_err(|_| Refusal::new(Code::InvalidFrame, "the body broke off"))?;
        if whole.len() + part.remaining() > bytes_max {
            let reason = format!("a body has at most {bytes_max} bytes");
            return Err(Refusal::new(Code::TooLarge, reason));
        }
        let mut part = part;
        while part.has_remaining() {
            let chunk = part.chunk().to_vec();
            whole.extend_from_slice(&chunk);
            part.advance(chunk.len());
        }
    }
    Ok(whole.freeze())
}

/// A route group: every route of one feature.
pub(super) type Group = BoxedFilter<(Answered,)>;

/// Paths below `/api/v1`.
pub(super) fn v1() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::path("api").and(warp::path("v1"))
}
