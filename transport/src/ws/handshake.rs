//! The opening handshake (RFC 6455 §4.2) as a pure judgement of one request:
//! may it become a socket, and what does the 101 say.
//!
//! Who the client is, is not decided here; taking the socket from hyper is
//! the work of `accept::into_wire`.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use warp::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use warp::http::{Method, Response, StatusCode, Version};

/// What the handshake looks at.
#[derive(Debug, Clone, Copy)]
pub struct UpgradeRequest<'a> {
    /// Must be GET.
    pub method: &'a Method,
    /// Must be HTTP/1.1; the accept loop puts it into the request's extensions.
    pub version: Version,
    /// The raw query, without the question mark.
    pub query: Option<&'a str>,
    /// All headers of the request.
    pub headers: &'a HeaderMap,
}

/// The web origins whose pages may open a socket, besides the server's own.
/// Compared exactly, but for letter case: no wildcards.
#[derive(Debug, Clone, Default)]
pub struct AllowedOrigins {
    origins: HashSet<String>,
}

/// The subprotocols we speak, named on the wire by [`Subprotocol::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subprotocol {
    /// `fanfare.v1.json`: every frame is text.
    Json,
    /// `fanfare.v1.msgpack`: every frame is binary.
    MsgPack,
}

/// A request that may become a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// What both sides speak.
    pub protocol: Subprotocol,
    /// The value of `Sec-WebSocket-Accept`.
    accept: HeaderValue,
    /// The client offered subprotocols, so the answer names the chosen one.
    names_protocol: bool,
}

/// Why a request does not become a socket; [`HandshakeRefusal::status`] is
/// the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeRefusal {
    /// 405.
    #[error("a websocket is opened with GET")]
    NotGet,
    /// 400.
    #[error("a websocket needs HTTP/1.1")]
    NotHttp11,
    /// 426: this address is only for sockets.
    #[error("this address speaks websocket only")]
    NotAnUpgrade,
    /// 426, naming version 13.
    #[error("only websocket version 13 is spoken here")]
    VersionUnsupported,
    /// 400.
    #[error("sec-websocket-key is not 16 bytes in base64")]
    BadKey,
    /// 400: query strings end in logs.
    #[error("a token in the query is refused, use a ticket or the first frame")]
    TokenInQuery,
    /// 403: a page of a foreign origin (cross-site WebSocket hijack).
    #[error("this origin is not allowed")]
    OriginForbidden,
    /// 400: something was offered and we speak none of it.
    #[error("none of the offered subprotocols is spoken here")]
    NoCommonProtocol,
}

/// Judges an upgrade request.
///
/// # Errors
/// The first thing that is wrong with it, see [`HandshakeRefusal`].
pub fn accept(
    request: UpgradeRequest<'_>,
    origins: &AllowedOrigins,
) -> Result<Acceptance, HandshakeRefusal> {
    let headers = request.headers;
    if request.method != Method::GET {
        return Err(HandshakeRefusal::NotGet);
    }
    if request.version != Version::HTTP_11 {
        return Err(HandshakeRefusal::NotHttp11);
    }
    let upgrades = has_token(headers, &header::UPGRADE, "websocket")
        && has_token(headers, &header::CONNECTION, "upgrade");
    if !upgrades {
        return Err(HandshakeRefusal::NotAnUpgrade);
    }
    if only_value(headers, &header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(HandshakeRefusal::VersionUnsupported);
    }
    let key = only_value(headers, &header::SEC_WEBSOCKET_KEY).ok_or(HandshakeRefusal::BadKey)?;
    let accept = accept_for(key)?;
    if has_token_in_query(request.query.unwrap_or_default()) {
        return Err(HandshakeRefusal::TokenInQuery);
    }
    if !origins.admit(headers) {
        return Err(HandshakeRefusal::OriginForbidden);
    }
    let mut offered = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).peekable();
    let names_protocol = offered.peek().is_some();
    let protocol = if names_protocol {
        offered
            .find_map(Subprotocol::named)
            .ok_or(HandshakeRefusal::NoCommonProtocol)?
    } else {
        Subprotocol::Json
    };
    Ok(Acceptance {
        protocol,
        accept,
        names_protocol,
    })
}

impl Acceptance {
    /// The 101 that turns the connection into a socket.
    #[must_use]
    pub fn response<B: Default>(&self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if self.names_protocol {
            let name = HeaderValue::from_static(self.protocol.name());
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
        }
        response
    }
}

impl AllowedOrigins {
    /// From a list such as `https://chat.example.org`; a trailing slash and
    /// letter case do not matter.
    pub fn new<S: AsRef<str>>(origins: impl IntoIterator<Item = S>) -> Self {
        let origins = origins.into_iter();
        Self {
            origins: origins.map(|origin| normal(origin.as_ref())).collect(),
        }
    }

    /// Whether a page of this origin is listed.
    #[must_use]
    pub fn lists(&self, origin: &str) -> bool {
        self.origins.contains(&normal(origin))
    }

    /// No `Origin` means no browser, whose users this protects; one that names
    /// our own `Host` is our own page.
    fn admit(&self, headers: &HeaderMap) -> bool {
        if !headers.contains_key(header::ORIGIN) {
            return true;
        }
        let Some(origin) = only_value(headers, &header::ORIGIN).map(normal) else {
            return false;
        };
        if self.origins.contains(&origin) {
            return true;
        }
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        let host = only_value(headers, &header::HOST).map(str::to_ascii_lowercase);
        host.is_some_and(|host| without_port(scheme, authority) == without_port(scheme, &host))
    }
}

impl Subprotocol {
    /// Its name in `Sec-WebSocket-Protocol`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "fanfare.v1.json",
            Self::MsgPack => "fanfare.v1.msgpack",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Json, Self::MsgPack]
            .into_iter()
            .find(|protocol| protocol.name() == name)
    }
}

impl HandshakeRefusal {
    /// The HTTP status to answer with, beside [`HandshakeRefusal::headers`].
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NotGet => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAnUpgrade | Self::VersionUnsupported => StatusCode::UPGRADE_REQUIRED,
            Self::OriginForbidden => StatusCode::FORBIDDEN,
            Self::NotHttp11 | Self::BadKey | Self::TokenInQuery | Self::NoCommonProtocol => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    /// The headers that its status demands, names in lower case.
    #[must_use]
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::NotGet => &[("allow", "GET")],
            Self::NotAnUpgrade | Self::VersionUnsupported => {
                &[("upgrade", "websocket"), ("sec-websocket-version", "13")]
            }
            _ => &[],
        }
    }
}

/// RFC 6455 §4.2.2, step 5.4.
fn accept_for(key: &str) -> Result<HeaderValue, HandshakeRefusal> {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let nonce = STANDARD.decode(key).unwrap_or_default();
    if nonce.len() != 16 {
        return Err(HandshakeRefusal::BadKey);
    }
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::try_from(STANDARD.encode(digest)).map_err(|_| HandshakeRefusal::BadKey)
}

/// Whether a query carries a token, under any name that ends so: any case,
/// also percent-encoded.
pub(crate) fn has_token_in_query(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, _)| name.to_ascii_lowercase().ends_with("token"))
}

/// The elements of a header that is a list of tokens, over all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

/// The value of a header that must stand exactly once.
fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).into_iter();
    let first = lines.next()?;
    match lines.next() {
        None => first.to_str().ok().map(str::trim),
        Some(_) => None,
    }
}

fn normal(origin: &str) -> String {
    origin.trim().trim_end_matches('/').to_ascii_lowercase()
}

fn without_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

#[cfg(test)]
mod tests;
