//! REST: bodies, fields, tokens and paths that are wrong.

use serde_json::{Value, json};

use crate::harness::account::PASSWORD;
use crate::harness::{Account, Options, Server, new_key};

use super::lives;

#[tokio::test(flavor = "multi_thread")]
async fn broken_bodies_are_refused() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let json_type = ("content-type", "application/json");
    let post = async |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let answer = alice
            .rest
            .try_raw("POST", path, headers, Some(body.to_vec()))
            .await
            .unwrap();
        (
            answer.status,
            answer.json()["error"]["code"]
                .as_str()
                .unwrap_or("none")
                .to_owned(),
        )
    };
    let path = "/api/v1/conversations";
    for (what, body) in [
        ("nothing", &b""[..]),
        ("half", br#"{"kind": "gro"#),
        ("not JSON", b"kind=group"),
        (
            "not UTF-8",
            b"{\"kind\": \"group\", \"title\": \"\xff\xfe\"}",
        ),
        ("an array", b"[]"),
        (
            "a lone surrogate",
            br#"{"kind": "group", "title": "\ud800"}"#,
        ),
        (
            "two values",
            br#"{"kind": "group", "title": "x"} {"kind": "group"}"#,
        ),
    ] {
        let (status, code) = post(path, &[json_type], body).await;
        assert!(
            (400..=422).contains(&status)
                && ["invalid_frame", "invalid_request"].contains(&code.as_str()),
            "{what}: {status} {code}"
        );
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let (status, _) = post(path, &[json_type], deep.as_bytes()).await;
    assert!((400..=422).contains(&status), "{status}");
    let big = json!({"kind": "group", "title": "x".repeat(300 * 1024)}).to_string();
    assert_eq!(
        post(path, &[json_type], big.as_bytes()).await,
        (413, "too_large".into())
    );
    lives(&server).await;
}

/// The field that must be named, the request, its body. `+` adds to a body that is
/// right, `<n>` stands for n letters, GROUP and MESSAGE for ids.
const WRONG_FIELDS: &str = r#"
role           POST /auth/register                     +{"role": "admin"}
isAdmin        POST /auth/register                     +{"isAdmin": true}
username       POST /auth/register                     +{"username": "no spaces"}
username       POST /auth/register                     +{"username": "x"}
username       POST /auth/register                     +{"username": "<33>"}
username       POST /auth/register                     +{"username": "ünicode"}
username       POST /auth/register                     +{"username": "all"}
username       POST /auth/register                     +{"username": 7}
email          POST /auth/register                     +{"email": "nowhere"}
password       POST /auth/register                     +{"password": "short"}
password       POST /auth/register                     +{"password": "<129>"}
password       POST /auth/login                        {"login": "alice"}
remember       POST /auth/login                        {"login": "a", "password": "b", "remember": true}
refreshToken   POST /auth/refresh                      {}
role           PATCH /users/me                         {"role": "admin"}
verified       PATCH /users/me                         {"verified": true}
displayName    PATCH /users/me                         {"displayName": ""}
displayName    PATCH /users/me                         {"displayName": "<65>"}
kind           POST /conversations                     {"kind": "room", "title": "x"}
kind           POST /conversations                     {"title": "x"}
owner          POST /conversations                     {"kind": "group", "title": "x", "owner": "y"}
slug           POST /conversations                     {"kind": "channel", "title": "x"}
slug           POST /conversations                     {"kind": "channel", "title": "x", "slug": "No Slug"}
participantIds POST /conversations                     {"kind": "group", "title": "x", "participantIds": ["alice"]}
text           POST /conversations/GROUP/messages      {}
text           POST /conversations/GROUP/messages      {"text": 7}
author         POST /conversations/GROUP/messages      {"text": "x", "author": "y"}
seq            POST /conversations/GROUP/messages      {"text": "x", "seq": 1}
type           POST /conversations/GROUP/messages      {"text": "x", "type": "hologram"}
seq            POST /conversations/GROUP/read          {"seq": "1"}
seq            POST /conversations/GROUP/read          {"seq": -1}
role           POST /conversations/GROUP/participants  {"userIds": [], "role": "emperor"}
rev            PATCH /messages/MESSAGE                 {"text": "x", "rev": 1}
text           PATCH /messages/MESSAGE                 {"text": ""}
count          POST /messages/MESSAGE/reactions        {"emoji": "x", "count": 5}
"#;

/// One line of the table: field, method, path, body.
fn wrong_field(line: &str) -> (&str, &str, &str, Value) {
    let (field, rest) = line.split_once(' ').unwrap();
    let (method, rest) = rest.trim_start().split_once(' ').unwrap();
    let (path, body) = rest.split_once(' ').unwrap();
    let mut body = body.trim().to_owned();
    for letters in [33, 65, 129] {
        body = body.replace(&format!("<{letters}>"), &"x".repeat(letters));
    }
    let Some(added) = body.strip_prefix('+') else {
        return (field, method, path, serde_json::from_str(&body).unwrap());
    };
    let mut whole =
        json!({"username": "bobby", "email": "bobby@example.org", "password": PASSWORD});
    let added: Value = serde_json::from_str(added).unwrap();
    for (name, value) in added.as_object().unwrap() {
        whole[name] = value.clone();
    }
    (field, method, path, whole)
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_missing_fields_are_named() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let said = alice.say(&group, "x").await;
    for line in WRONG_FIELDS.lines().filter(|line| !line.is_empty()) {
        let (field, method, path, body) = wrong_field(line);
        let path = path
            .replace("GROUP", &group)
            .replace("MESSAGE", said["id"].as_str().unwrap());
        let rest = if path.starts_with("/auth") {
            server.rest()
        } else {
            alice.rest.clone()
        };
        let refusal = rest
            .call(method, &path, Some(body), None)
            .await
            .expect_err(line);
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (422, "invalid_request"),
            "{line}: {refusal:?}"
        );
        let details = refusal.error["details"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        assert!(
            details.keys().any(|named| named.starts_with(field)),
            "{line}: {refusal:?}"
        );
        assert_eq!(refusal.error["retryable"], false);
    }
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_and_broken_ones_are_told_apart_from_the_rest() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let paths = [
        ("GET", "/users/me".to_owned()),
        ("GET", "/conversations".to_owned()),
        ("POST", "/conversations".to_owned()),
        ("GET", format!("/conversations/{group}")),
        ("GET", format!("/conversations/{group}/messages")),
        ("POST", format!("/conversations/{group}/messages")),
        ("POST", "/auth/ticket".to_owned()),
    ];
    let parts: Vec<&str> = alice.access.split('.').collect();
    let none = format!(
        "{}.{}.",
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0",
        parts.get(1).unwrap_or(&"")
    );
    let mut flipped = alice.access.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let tokens = [
        None,
        Some(String::new()),
        Some("nonsense".into()),
        Some(none),
        Some(String::from_utf8(flipped).unwrap()),
        Some(alice.refresh.clone()),
        Some("x".repeat(5000)),
    ];
    for token in &tokens {
        let rest = token
            .as_ref()
            .map_or(server.rest(), |token| server.rest().with_token(token));
        for (method, path) in &paths {
            let refusal = rest
                .call(method, path, (*method == "POST").then(|| json!({})), None)
                .await
                .unwrap_err();
            assert_eq!(
                (refusal.status, refusal.code.as_str()),
                (401, "unauthenticated"),
                "{method} {path} with {token:?}"
            );
        }
    }
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    for (method, path) in [
        ("GET", "/conversations/nonsense"),
        (
            "GET",
            "/conversations/0199f0a2-0000-7000-8000-000000000000/messages",
        ),
        ("GET", "/messages/nonsense"),
        ("GET", "/messages/AAAA"),
        ("GET", "/users/nonsense"),
        ("GET", "/no/such/path"),
        ("GET", "/conversations/..%2f..%2fetc%2fpasswd"),
        ("GET", "/conversations/%00"),
        ("GET", "/messages/%ff%fe"),
    ] {
        let refusal = alice.rest.call(method, path, None, None).await.unwrap_err();
        assert!(
            [404, 422, 400].contains(&refusal.status),
            "{method} {path}: {refusal:?}"
        );
        assert_ne!(refusal.code, "no code", "{method} {path}: {refusal:?}");
    }
    let method = alice
        .rest
        .call("PUT", "/conversations", Some(json!({})), None)
        .await
        .unwrap_err();
    assert!([404, 405].contains(&method.status), "{method:?}");
    let (long, empty) = ("x".repeat(129), String::new());
    let group = alice.group(&[]).await;
    for key in [long, empty] {
        let refusal = alice
            .say_as(&group, &key, json!({"text": "x"}))
            .await
            .unwrap_err();
        assert_eq!(refusal.code, "invalid_request", "{refusal:?}");
    }
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_slowed_down_when_rates_are_on() {
    let server = Options::new()
        .rates_on()
        .limit("login_per_account_per_min", 3)
        .limit("auth_per_address_per_min", 8)
        .start()
        .await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let body = json!({"login": "nobody", "password": "wrong password"});
        let answer = server
            .rest()
            .answer("POST", "/auth/login", Some(body), Some(&new_key()))
            .await
            .unwrap();
        if answer.status == 429 {
            let error = &answer.json()["error"];
            assert_eq!(
                (&error["code"], &error["retryable"]),
                (&json!("rate_limited"), &json!(true))
            );
            assert!(
                error["retryAfterMs"]
                    .as_u64()
                    .is_some_and(|wait_ms| wait_ms > 0),
                "{error}"
            );
        }
        statuses.push(answer.status);
    }
    assert!(
        statuses[0] == 401 && statuses.contains(&429),
        "{statuses:?}"
    );
    assert!(server.is_running());
    // Off is said loudly, on the screen and in the log.
    let off = Server::start().await;
    off.says("RATE LIMITS ARE OFF").await;
    off.says("rate limits are off").await;
}
