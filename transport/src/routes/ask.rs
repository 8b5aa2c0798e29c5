//! A request as routes see it: address, credentials, key, query, body, each
//! read strictly and with a typed refusal.

use std::future::Future;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use fanfare_actors::account::{AccountBook, Identity};
use fanfare_actors::gateway::{Draft, Gateway};
use fanfare_engine::room::Accepted;
use fanfare_protocol::command::Command;
use fanfare_protocol::decode::decode;
use fanfare_protocol::frame::check_key;
use fanfare_protocol::limits::FIELD_NAME_CHARS_MAX;
use fanfare_protocol::{Code, ConversationId, Refusal, UserId};
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use warp::filters::BoxedFilter;
use warp::http::HeaderMap;
use warp::http::header::CONTENT_TYPE;
use warp::{Filter, Rejection};

use super::Answered;
use super::answer::refused;
use crate::TransportParts;
use crate::accept::ClientAddr;
use crate::credentials::bearer;
use crate::ws::handshake::has_token_in_query;

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
    /// Query parameters that the route knows.
    known: &'static [&'static str],
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
        self.ask_with(&[])
    }

    /// The same for a route that knows query parameters.
    pub fn ask_with(&self, known: &'static [&'static str]) -> BoxedFilter<(Ask,)> {
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
                        known,
                        body,
                    }
                }
            })
            .boxed()
    }
}

/// Runs a handler for whoever has a valid access token.
pub(super) async fn for_user<F>(ask: Ask, handler: impl FnOnce(Ask, Identity) -> F) -> Answered
where
    F: Future<Output = Result<Answered, Refusal>>,
{
    let caller = ask.admit().and_then(|()| {
        let caller = ask.identity()?;
        ask.check_query().map(|()| caller)
    });
    let result = match caller {
        Ok(caller) => handler(ask, caller).await,
        Err(refusal) => Err(refusal),
    };
    result.unwrap_or_else(|refusal| refused(&refusal))
}

/// Runs a handler for anyone: the few routes where credentials are made.
pub(super) async fn for_anyone<F>(ask: Ask, handler: impl FnOnce(Ask) -> F) -> Answered
where
    F: Future<Output = Result<Answered, Refusal>>,
{
    let result = match ask.admit().and_then(|()| ask.check_query()) {
        Ok(()) => handler(ask).await,
        Err(refusal) => Err(refusal),
    };
    result.unwrap_or_else(|refusal| refused(&refusal))
}

impl Ask {
    fn admit(&self) -> Result<(), Refusal> {
        self.gateway.rates().request(self.address)?;
        if has_token_in_query(&self.query) {
            let why = "a token in the query is refused, use the authorization header";
            return Err(Refusal::new(Code::InvalidFrame, why));
        }
        Ok(())
    }

    fn identity(&self) -> Result<Identity, Refusal> {
        let missing = || Refusal::new(Code::Unauthenticated, "no bearer token");
        let token = bearer(&self.headers)?.ok_or_else(missing)?;
        self.accounts().authenticate(token)
    }

    /// Every parameter is known to the route and given once.
    fn check_query(&self) -> Result<(), Refusal> {
        let mut given = Vec::with_capacity(self.known.len());
        for (name, _) in form_urlencoded::parse(self.query.as_bytes()) {
            let Some(known) = self.known.iter().find(|known| **known == name) else {
                let name: String = name.chars().take(FIELD_NAME_CHARS_MAX).collect();
                return Err(Refusal::field(name, "unknown parameter"));
            };
            if given.contains(known) {
                return Err(Refusal::field(*known, "given twice"));
            }
            given.push(*known);
        }
        Ok(())
    }

    /// Accounts.
    pub fn accounts(&self) -> &AccountBook {
        self.gateway.accounts()
    }

    /// The idempotency key.
    pub fn key(&self) -> Result<Option<String>, Refusal> {
        let mut lines = self.headers.get_all("idempotency-key").into_iter();
        let Some(line) = lines.next() else {
            return Ok(None);
        };
        if lines.next().is_some() {
            return Err(Refusal::field("key", "given twice"));
        }
        let key = line
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

    /// A query parameter that the route knows.
    pub fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.into_owned())
    }

    /// A query parameter that is a number.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let wrong = |_| Refusal::field(name, "not a number in range");
        self.parameter(name)
            .map(|value| value.parse().map_err(wrong))
            .transpose()
    }

    /// Sends a command to a conversation.
    pub async fn submit(
        &self,
        caller: UserId,
        conversation: ConversationId,
        command: Command,
    ) -> Result<Accepted, Refusal> {
        let key = self.key()?;
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

/// An id in the path: what is none names nothing.
pub(super) fn id<T: FromStr>(text: &str, what: &str) -> Result<T, Refusal> {
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
        whole.put(part);
    }
    Ok(whole.freeze())
}

/// A route group: every route of one feature.
pub(super) type Group = BoxedFilter<(Answered,)>;

/// Paths below `/api/v1`.
pub(super) fn v1() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::path("api").and(warp::path("v1"))
}
