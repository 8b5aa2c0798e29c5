//! The way in: HTTP that is not quite right, origins, credentials in wrong places.

use crate::harness::inbox::Keep;
use crate::harness::raw::{Raw, upgrade_request};
use crate::harness::socket::Opening;
use crate::harness::{Account, Options, Server};

use super::lives;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_query_is_refused_and_not_logged() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    for name in ["token", "access_token", "accessToken"] {
        let opening = Opening {
            query: format!("?{name}={}", alice.access),
            ..Opening::default()
        };
        let refused = opening
            .connect(server.address(), Keep::All)
            .await
            .map(drop)
            .unwrap_err();
        assert_eq!(refused.status, 400, "{name}: {refused:?}");
        assert_ne!(refused.code, "no code", "{refused:?}");
    }
    assert!(!server.log().contains(&alice.access));
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_origin_is_refused_before_the_upgrade() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    for origin in [
        "https://evil.example",
        "null",
        "http://127.0.0.1.evil.example",
    ] {
        let opening = Opening {
            origin: Some(origin.into()),
            bearer: Some(alice.access.clone()),
            ..Opening::default()
        };
        let refused = opening
            .connect(server.address(), Keep::All)
            .await
            .map(drop)
            .unwrap_err();
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (403, "forbidden"),
            "{origin}"
        );
    }
    // Programs send none.
    Opening::default()
        .connect(server.address(), Keep::All)
        .await
        .unwrap();
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_upgrades_are_refused() {
    let server = Server::start().await;
    let address = server.address();
    let right = upgrade_request(address, "");
    for (what, request, expected) in [
        (
            "no upgrade",
            format!("GET /ws HTTP/1.1\r\nHost: {address}\r\n\r\n"),
            &["400", "426"][..],
        ),
        (
            "version 8",
            right.replace("Version: 13", "Version: 8"),
            &["400", "426"],
        ),
        (
            "no key",
            right.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
            &["400"],
        ),
        (
            "a short key",
            right.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
            &["400"],
        ),
        (
            "POST",
            right.replace("GET /ws", "POST /ws"),
            &["400", "404", "405"],
        ),
        (
            "another subprotocol",
            upgrade_request(address, "Sec-WebSocket-Protocol: soap\r\n"),
            &["400"],
        ),
        ("another path", right.replace("/ws", "/wss"), &["404"]),
    ] {
        let mut raw = Raw::connect(address).await;
        let head = raw.request(&request).await;
        let status = head.split(' ').nth(1).unwrap_or("none");
        assert!(expected.contains(&status), "{what}: {head}");
    }
    for offered in ["fanfare.v1.json", "soap, fanfare.v1.json"] {
        let mut raw = Raw::connect(address).await;
        let head = raw
            .request(&upgrade_request(
                address,
                &format!("Sec-WebSocket-Protocol: {offered}\r\n"),
            ))
            .await;
        let chosen = head
            .to_lowercase()
            .contains("sec-websocket-protocol: fanfare.v1.json\r\n");
        assert!(head.starts_with("HTTP/1.1 101") && chosen, "{head}");
    }
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_that_is_none_or_too_much_or_too_slow_is_cut() {
    let server = Options::new().limit("header_ms_max", 700).start().await;
    let address = server.address();
    let mut noise = Raw::connect(address).await;
    let head = noise
        .request("\u{16}\u{3}\u{1} this is not HTTP\r\n\r\n")
        .await;
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 400"),
        "{head}"
    );

    let long = format!(
        "GET /livez HTTP/1.1\r\nHost: {address}\r\nX-Long: {}\r\n\r\n",
        "x".repeat(20 * 1024)
    );
    let head = Raw::connect(address).await.request(&long).await;
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 4"), "{head}");
    let many: String = (0..100).map(|at| format!("X-{at}: y\r\n")).collect();
    let head = Raw::connect(address)
        .await
        .request(&format!(
            "GET /livez HTTP/1.1\r\nHost: {address}\r\n{many}\r\n"
        ))
        .await;
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 4"), "{head}");

    let mut slow = Raw::connect(address).await;
    let head = slow.request("GET /livez HTTP/1.1\r\nHost:").await;
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 408"),
        "{head}"
    );
    lives(&server).await;
}
