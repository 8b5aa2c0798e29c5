//! Every rule of the handshake, once broken and once kept.

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn good() -> HeaderMap {
    headers(&[
        ("host", "chat.example.org"),
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ])
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::try_from(*value).unwrap());
    }
    headers
}

fn with(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut all = good();
    for (name, _) in lines {
        all.remove(*name);
    }
    all.extend(
        headers(lines)
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    all
}

fn judge(headers: &HeaderMap) -> Result<Acceptance, HandshakeRefusal> {
    judge_query(headers, None)
}

fn judge_query(headers: &HeaderMap, query: Option<&str>) -> Result<Acceptance, HandshakeRefusal> {
    let request = UpgradeRequest {
        method: &Method::GET,
        version: Version::HTTP_11,
        query,
        headers,
    };
    let origins = AllowedOrigins::new(["https://app.example.org", "http://localhost:3000/"]);
    accept(request, &origins)
}

#[test]
fn the_answer_is_the_one_the_rfc_prints() {
    // RFC 6455 §1.3
    let response: Response<()> = judge(&good()).unwrap().response();
    assert_eq!(response.status(), 101);
    let headers = response.headers();
    assert_eq!(
        headers[header::SEC_WEBSOCKET_ACCEPT],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    assert_eq!(headers[header::UPGRADE], "websocket");
    assert_eq!(headers[header::CONNECTION], "upgrade");
    assert!(!headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL));
}

#[test]
fn each_header_must_be_right() {
    use HandshakeRefusal::*;
    let table: [(&'static str, &str, HandshakeRefusal); 11] = [
        ("upgrade", "h2c", NotAnUpgrade),
        ("upgrade", "", NotAnUpgrade),
        ("connection", "keep-alive", NotAnUpgrade),
        ("connection", "upgraded", NotAnUpgrade),
        ("sec-websocket-version", "8", VersionUnsupported),
        ("sec-websocket-version", "13, 8", VersionUnsupported),
        ("sec-websocket-key", "", BadKey),
        ("sec-websocket-key", "c2hvcnQ=", BadKey),
        ("sec-websocket-key", "not base64 at all!!!!!==", BadKey),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZTE=", BadKey),
        (
            "sec-websocket-protocol",
            "graphql-ws, mqtt",
            NoCommonProtocol,
        ),
    ];
    for (name, value, refusal) in table {
        assert_eq!(
            judge(&with(&[(name, value)])),
            Err(refusal),
            "{name}: {value}"
        );
    }
    for name in [
        "upgrade",
        "connection",
        "sec-websocket-version",
        "sec-websocket-key",
    ] {
        let mut headers = good();
        headers.remove(name);
        assert!(judge(&headers).is_err(), "without {name}");
    }
    let twice = with(&[("sec-websocket-key", KEY), ("sec-websocket-key", KEY)]);
    assert_eq!(judge(&twice), Err(BadKey));
}

#[test]
fn only_get_over_http_1_1() {
    let headers = good();
    let origins = AllowedOrigins::default();
    let request = UpgradeRequest {
        method: &Method::POST,
        version: Version::HTTP_11,
        query: None,
        headers: &headers,
    };
    assert_eq!(accept(request, &origins), Err(HandshakeRefusal::NotGet));
    let request = UpgradeRequest {
        method: &Method::GET,
        version: Version::HTTP_10,
        ..request
    };
    assert_eq!(accept(request, &origins), Err(HandshakeRefusal::NotHttp11));
}

#[test]
fn a_chosen_subprotocol_is_named() {
    let offers = with(&[
        ("sec-websocket-protocol", "fanfare.v9.json"),
        ("sec-websocket-protocol", "mqtt,fanfare.v1.json"),
    ]);
    let acceptance = judge(&offers).unwrap();
    assert_eq!(acceptance.protocol, Subprotocol::Json);
    let response: Response<()> = acceptance.response();
    assert_eq!(
        response.headers()[header::SEC_WEBSOCKET_PROTOCOL],
        "fanfare.v1.json"
    );
    // Of several that are spoken here, the client's first.
    for (offer, chosen) in [
        ("fanfare.v1.msgpack", Subprotocol::MsgPack),
        ("fanfare.v1.msgpack, fanfare.v1.json", Subprotocol::MsgPack),
        ("fanfare.v1.json, fanfare.v1.msgpack", Subprotocol::Json),
        (
            "fanfare.v2.msgpack, fanfare.v1.msgpack",
            Subprotocol::MsgPack,
        ),
    ] {
        let acceptance = judge(&with(&[("sec-websocket-protocol", offer)])).unwrap();
        assert_eq!(acceptance.protocol, chosen, "{offer}");
        let response: Response<()> = acceptance.response();
        let named = &response.headers()[header::SEC_WEBSOCKET_PROTOCOL];
        assert_eq!(named, chosen.name());
    }
}

#[test]
fn origins_are_compared_exactly() {
    let yes = [
        "https://app.example.org",
        "HTTPS://App.Example.org",
        "http://localhost:3000",
        "https://chat.example.org",
        "http://chat.example.org",
        "https://chat.example.org:443",
    ];
    let no = [
        "null",
        "",
        "https://evil.example",
        "http://app.example.org",
        "https://app.example.org.evil.example",
        "https://app.example.org:8443",
        "http://localhost",
        "https://chat.example.org:80",
        "https://chat.example.org@evil.example",
        "chat.example.org",
    ];
    for origin in yes {
        assert!(judge(&with(&[("origin", origin)])).is_ok(), "{origin}");
    }
    for origin in no {
        let judged = judge(&with(&[("origin", origin)]));
        assert_eq!(judged, Err(HandshakeRefusal::OriginForbidden), "{origin}");
    }
    let two = with(&[
        ("origin", "https://app.example.org"),
        ("origin", "https://evil.example"),
    ]);
    assert_eq!(judge(&two), Err(HandshakeRefusal::OriginForbidden));
    let mut no_host = with(&[("origin", "https://chat.example.org")]);
    no_host.remove("host");
    assert_eq!(judge(&no_host), Err(HandshakeRefusal::OriginForbidden));
}

#[test]
fn a_token_in_the_query_is_refused_a_ticket_is_not() {
    let refused = [
        "token=x",
        "a=b&access_token=x",
        "TOKEN=x",
        "%74oken=x",
        "access%5Ftoken",
        "accessToken=x",
        "refresh-token=x",
    ];
    for query in refused {
        let judged = judge_query(&good(), Some(query));
        assert_eq!(judged, Err(HandshakeRefusal::TokenInQuery), "{query}");
    }
    for query in ["", "ticket=abc", "ticket=token", "tokens=1"] {
        assert!(judge_query(&good(), Some(query)).is_ok(), "{query}");
    }
}

#[test]
fn refusals_carry_what_their_status_demands() {
    let version = HandshakeRefusal::VersionUnsupported;
    assert_eq!(version.status(), 426);
    assert!(version.headers().contains(&("sec-websocket-version", "13")));
    assert_eq!(HandshakeRefusal::OriginForbidden.status(), 403);
    assert_eq!(HandshakeRefusal::TokenInQuery.status(), 400);
    assert_eq!(HandshakeRefusal::NotGet.headers(), &[("allow", "GET")]);
}
