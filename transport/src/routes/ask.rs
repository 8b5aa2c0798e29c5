//! A request as routes see it: address, credentials, key, query, body, each
//! read strictly and with a typed refusal.

use std::future::Future;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use fanfare_actors::account::{AccountBook, Identity};
use fanfare_actors::gateway::{Draft, Gateway};
use fanfare_engine::room::Accepted;
use fanfare_protocol::command::Command;
use fanfare_protocol::frame::check_key;
use fanfare_protocol::limits::FIELD_NAME_CHARS_MAX;
use fanfare_protocol::{Code, Codec, ConversationId, Refusal, UserId};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use warp::filters::BoxedFilter;
use warp::http::HeaderMap;
use warp::{Filter, Rejection};

use super::Answered;
use super::answer::refused;
use super::media;
use crate::TransportParts;
use crate::accept::ClientAddr;
use crate::credentials::bearer;
use crate::ws::handshake::has_token_in_query;

/// Makes [`Asked`]s; every route group has one.
#[derive(Clone)]
pub(super) struct Asks {
    gateway: Arc<Gateway>,
}

/// A request of which only the head was read: its body is taken once it is
/// known who asks.
pub(super) struct Asked {
    ask: Ask,
    body: BoxStream<'static, Result<Bytes, warp::Error>>,
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

    /// Takes a request.
    pub fn ask(&self) -> BoxedFilter<(Asked,)> {
        self.ask_with(&[])
    }

    /// The same for a route that knows query parameters.
    pub fn ask_with(&self, known: &'static [&'static str]) -> BoxedFilter<(Asked,)> {
        let gateway = Arc::clone(&self.gateway);
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        warp::ext::get::<ClientAddr>()
            .and(warp::header::headers_cloned())
            .and(query)
            .and(warp::body::stream())
            .map(move |client: ClientAddr, headers, query, body| Asked {
                ask: Ask {
                    gateway: Arc::clone(&gateway),
                    address: client.0,
                    headers,
                    query,
                    known,
                    body: Ok(Bytes::new()),
                },
                body: parts(body).boxed(),
            })
            .boxed()
    }
}

/// Runs a handler for whoever has a valid access token.
pub(super) async fn for_user<F>(asked: Asked, handler: impl FnOnce(Ask, Identity) -> F) -> Answered
where
    F: Future<Output = Result<Answered, Refusal>>,
{
    for_user_unread(asked, |asked, caller| async move {
        handler(asked.whole().await, caller).await
    })
    .await
}

/// The same for a handler that decides when the body is read.
pub(super) async fn for_user_unread<F>(
    asked: Asked,
    handler: impl FnOnce(Asked, Identity) -> F,
) -> Answered
where
    F: Future<Output = Result<Answered, Refusal>>,
{
    let ask = &asked.ask;
    let caller = ask.admit().and_then(|()| {
        let caller = ask.identity()?;
        ask.check_query().map(|()| caller)
    });
    let result = match caller {
        Ok(caller) => handler(asked, caller).await,
        Err(refusal) => Err(refusal),
    };
    result.unwrap_or_else(|refusal| refused(&refusal))
}

/// Runs a handler for anyone: the few routes where credentials are made.
pub(super) async fn for_anyone<F>(asked: Asked, handler: impl FnOnce(Ask) -> F) -> Answered
where
    F: Future<Output = Result<Answered, Refusal>>,
{
    let ask = &asked.ask;
    let result = match ask.admit().and_then(|()| ask.check_query()) {
        Ok(()) => handler(asked.whole().await).await,
        Err(refusal) => Err(refusal),
    };
    result.unwrap_or_else(|refusal| refused(&refusal))
}

impl Asked {
    /// Where the request goes.
    pub fn gateway(&self) -> &Gateway {
        &self.ask.gateway
    }

    /// The request with its body, at most `body_bytes_max`.
    pub async fn whole(self) -> Ask {
        let bytes_max = self.ask.gateway.limits().body_bytes_max;
        let body = collect(self.body, bytes_max).await;
        Ask { body, ..self.ask }
    }
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

    /// The body, in the codec that it says it is in.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let (codec, body) = self.encoded()?;
        codec.decode(body)
    }

    /// The same, not yet decoded.
    pub fn encoded(&self) -> Result<(Codec, &[u8]), Refusal> {
        let body = self.body.as_ref().map_err(Refusal::clone)?;
        let codec = media::of_body(&self.headers).ok_or_else(|| {
            let reason = "the body must be application/json or application/msgpack";
            Refusal::new(Code::InvalidFrame, reason)
        })?;
        Ok((codec, body))
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

fn parts<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> impl Stream<Item = Result<Bytes, warp::Error>> {
    body.map(|part| part.map(|mut part| part.copy_to_bytes(part.remaining())))
}

async fn collect(
    mut body: BoxStream<'static, Result<Bytes, warp::Error>>,
    bytes_max: usize,
) -> Result<Bytes, Refusal> {
    let mut whole = BytesMut::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(|_| Refusal::new(Code::InvalidFrame, "the body broke off"))?;
        if whole.len() + part.len() > bytes_max {
            let reason = format!("a body has at most {bytes_max} bytes");
            return Err(Refusal::new(Code::TooLarge, reason));
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}

/// A route group: every route of one feature.
pub(super) type Group = BoxedFilter<(Answered,)>;

/// Paths below `/api/v1`.
pub(super) fn v1() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::path("api").and(warp::path("v1"))
}
