//! Every route there is: who may ask, and what is answered to what is not one.

use std::collections::BTreeSet;

use fanfare_actors::rates::Rates;
use fanfare_protocol::Limits;
use serde_json::json;

use super::house::House;
use crate::routes::table::ROUTES;

/// Routes that need no access token. All others do.
const PUBLIC: [(&str, &str); 9] = [
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/ws"),
    ("GET", "/api/v1/health"),
    ("POST", "/api/v1/auth/register"),
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/refresh"),
    ("POST", "/api/v1/auth/logout"),
];

/// The files with filters.
const FILES: [&str; 8] = [
    include_str!("../routes/auth.rs"),
    include_str!("../routes/conversations.rs"),
    include_str!("../routes/health.rs"),
    include_str!("../routes/messages.rs"),
    include_str!("../routes/participants.rs"),
    include_str!("../routes/session.rs"),
    include_str!("../routes/users.rs"),
    include_str!("../routes/websocket.rs"),
];

const NOT_JSON: &[u8] = b"{";

/// The filters that a file writes down: `v1().and(path!("users" / String))
/// .and(warp::get())` is GET on `/api/v1/users/:`.
fn filters(file: &str) -> impl Iterator<Item = (String, String)> {
    file.match_indices("path!(").map(|(at, mark)| {
        let before = file[..at].trim_end_matches(".and(").trim_end();
        let (path, rest) = file[at + mark.len()..].split_once(')').unwrap();
        let mut whole = String::new();
        if before.ends_with("v1()") {
            whole += "/api/v1";
        }
        for segment in path.split('/').map(str::trim) {
            whole.push('/');
            whole += match segment {
                "String" => ":",
                literal => literal.trim_matches('"'),
            };
        }
        let (_, rest) = rest.split_once("warp::").unwrap();
        let method = match rest.split('(').next().unwrap() {
            // The socket's route judges the method itself.
            "method" => "GET".to_owned(),
            method => method.to_uppercase(),
        };
        (method, whole)
    })
}

fn nameless(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.get(..1) {
        Some(":") => ":",
        _ => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// A path that fits the template.
fn filled(template: &str) -> String {
    let id = "0199f0a2-0000-7000-8000-000000000000";
    nameless(template).replace(':', id)
}

#[test]
fn the_table_has_every_filter_and_nothing_else() {
    let table: BTreeSet<_> = ROUTES
        .iter()
        .map(|(method, path)| ((*method).to_owned(), nameless(path)))
        .collect();
    assert_eq!(table.len(), ROUTES.len(), "a route stands there twice");
    let written: BTreeSet<_> = FILES.iter().flat_map(|file| filters(file)).collect();
    assert_eq!(table, written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_in_without_credentials() {
    let house = House::new().await;
    let mut refused = 0;
    for (method, template) in ROUTES {
        if PUBLIC.contains(&(method, template)) || template == "/metrics" {
            continue;
        }
        let path = filled(template);
        for (lines, body) in [
            (&[][..], &b""[..]),
            (&[&b"Authorization: Bearer nonsense"[..]][..], b"{}"),
            (&[&b"Authorization: Basic YTpi"[..]][..], NOT_JSON),
        ] {
            let answer = house.try_ask(method, &path, lines, body).await.unwrap();
            assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
            assert_eq!(answer.code(), "unauthenticated", "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        refused += 1;
    }
    assert_eq!(refused, ROUTES.len() - PUBLIC.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_routes_answer_in_their_own_words() {
    let house = House::new().await;
    for (method, path) in PUBLIC {
        if path == "/metrics" {
            continue;
        }
        let answer = house.ask(method, path, &[]).await;
        let expected = match path {
            "/livez" => 200,
            "/readyz" | "/api/v1/health" => 503,
            "/ws" => 426,
            _ => 400,
        };
        assert_eq!(answer.status, expected, "{path}: {answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_route_is_the_answer_says_so() {
    let house = House::new().await;
    for path in [
        "/",
        "/nope",
        "/api/v1/nope",
        "/api/v1/users",
        "/api/v2/users/me",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = house.ask(method, path, &[]).await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));
        }
    }
    for (_, template) in ROUTES {
        let path = filled(template);
        let answer = house.ask("PUT", &path, &[]).await;
        assert_eq!(answer.status, 405, "{path}: {answer:?}");
        let allowed: BTreeSet<_> = answer.header("allow").unwrap().split(", ").collect();
        let known = ROUTES.iter().filter(|(_, other)| *other == template);
        // `/users/me` is a `/users/:id` too.
        assert!(allowed.is_superset(&known.map(|(method, _)| *method).collect()));
        assert_eq!(answer.json()["error"]["retryable"], false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_read_strictly() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    let room = json!({"kind": "group", "title": "x"});
    let room = house.post("/api/v1/conversations", &[&alice], room).await;
    let room = room.json()["data"]["id"].as_str().unwrap().to_owned();
    let long = format!("/api/v1/users/me?{}=1", "x".repeat(1000));
    for (path, field) in [
        ("/api/v1/users/me?foo=1", "foo"),
        ("/api/v1/conversations?limit=1&page=2", "page"),
        ("/api/v1/conversations?limit=1&limit=2", "limit"),
        ("/api/v1/conversations?limit=many", "limit"),
        ("/api/v1/conversations?limit=-1", "limit"),
        ("/api/v1/conversations/ROOM/messages?after=1e3", "after"),
        ("/api/v1/conversations/ROOM/messages?cursor=1", "cursor"),
        ("/api/v1/conversations/ROOM/participants?role=owner", "role"),
        (&long, &"x".repeat(128)),
    ] {
        let path = path.replace("ROOM", &room);
        let answer = house.ask("GET", &path, &[&alice]).await;
        assert_eq!(answer.status, 422, "{path}: {answer:?}");
        assert!(answer.json()["error"]["details"][field].is_string());
    }
    for name in ["token", "access_token", "accessToken", "%74oken"] {
        for lines in [&[&alice[..]][..], &[]] {
            let path = format!("/api/v1/users/me?{name}=x");
            let answer = house.ask("GET", &path, lines).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (400, "invalid_frame")
            );
        }
    }
    let path = format!("/api/v1/conversations/{room}/messages?limit=1&after=0");
    assert_eq!(house.ask("GET", &path, &[&alice]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_too_large_or_of_another_type_are_refused() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    let path = "/api/v1/conversations";
    let big = vec![b' '; Limits::default().body_bytes_max + 1];
    let answer = house.try_ask("POST", path, &[&alice], &big).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));
    let chunk = [
        format!("{:x}\r\n", big.len()).as_bytes(),
        &big,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let chunked: [&[u8]; 2] = [&alice, b"Transfer-Encoding: chunked"];
    let answer = house.try_ask("POST", path, &chunked, &chunk).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));
    let body = br#"{"kind": "group", "title": "x"}"#;
    for (kind, status) in [
        ("text/plain", 400),
        ("application/x-www-form-urlencoded", 400),
        ("application/json", 201),
        ("Application/JSON; charset=utf-8", 201),
    ] {
        let kind = format!("Content-Type: {kind}");
        let lines: [&[u8]; 2] = [&alice, kind.as_bytes()];
        let answer = house.try_ask("POST", path, &lines, body).await.unwrap();
        assert_eq!(answer.status, status, "{kind}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_200_and_other_words_under_its_key_are_409() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    let with_key: [&[u8]; 2] = [&alice, b"Idempotency-Key: k1"];
    let room = json!({"kind": "group", "title": "x"});
    let first = house
        .post("/api/v1/conversations", &with_key, room.clone())
        .await;
    let again = house.post("/api/v1/conversations", &with_key, room).await;
    assert_eq!((first.status, again.status), (201, 200));
    let id = first.json()["data"]["id"].clone();
    assert_eq!(id, again.json()["data"]["id"]);
    let path = format!("/api/v1/conversations/{}/messages", id.as_str().unwrap());
    let first = house.post(&path, &with_key, json!({"text": "hello"})).await;
    let again = house.post(&path, &with_key, json!({"text": "hello"})).await;
    let other = house.post(&path, &with_key, json!({"text": "other"})).await;
    assert_eq!((first.status, again.status, other.status), (201, 200, 409));
    assert_eq!(first.json()["data"]["seq"], again.json()["data"]["seq"]);
    assert_eq!(other.code(), "idempotency_conflict");
    let twice: [&[u8]; 3] = [&alice, b"Idempotency-Key: a", b"Idempotency-Key: b"];
    let answer = house.post(&path, &twice, json!({"text": "hello"})).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (422, "invalid_request")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listed_origins_may_read_and_others_may_not() {
    let house = House::new().await;
    let listed: &[u8] = b"Origin: https://app.example.org";
    let foreign: &[u8] = b"Origin: https://evil.example";
    let no_text: &[u8] = b"Origin: \xff\xfe";
    let allow = "access-control-allow-origin";
    for (origin, allowed) in [
        (listed, Some("https://app.example.org")),
        (foreign, None),
        (no_text, None),
    ] {
        let answer = house.ask("GET", "/api/v1/users/me", &[origin]).await;
        assert_eq!((answer.status, answer.header(allow)), (401, allowed));
        let asks: [&[u8]; 2] = [origin, b"Access-Control-Request-Method: POST"];
        let answer = house.ask("OPTIONS", "/api/v1/conversations", &asks).await;
        let status = if allowed.is_some() { 204 } else { 403 };
        assert_eq!((answer.status, answer.header(allow)), (status, allowed));
        assert_eq!(answer.header("vary"), Some("origin"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_asks_too_often_is_told_when_to_come_back() {
    let limits = Limits {
        requests_per_address_per_s: 1,
        ..Limits::default()
    };
    let rates = Rates::on(&limits);
    let house = House::with(limits, rates).await;
    for _ in 0..200 {
        let answer = house.ask("GET", "/api/v1/users/me", &[]).await;
        if answer.status == 429 {
            assert_eq!(answer.code(), "rate_limited");
            let wait_s: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            let wait_ms = answer.json()["error"]["retryAfterMs"].as_u64().unwrap();
            assert_eq!(wait_s, wait_ms.div_ceil(1000));
            return;
        }
        assert_eq!(answer.status, 401);
    }
    panic!("never refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_one_connection_and_nothing_else() {
    let house = House::new().await;
    let alice = house.register("alice").await;
    for _ in 0..3 {
        let answer = house.try_ask("GET", "/metrics", &[], b"").await;
        assert!(answer.is_none(), "{answer:?}");
    }
    assert_eq!(
        house.ask("GET", "/api/v1/users/me", &[&alice]).await.status,
        200
    );
    tokio::time::timeout(super::house::PATIENCE, house.open.all_closed())
        .await
        .unwrap();
}

/// The body never comes, so whoever waited for it would wait for its pace.
#[tokio::test]
async fn strangers_are_turned_away_before_their_body_is_read() {
    let house = House::new().await;
    let lines: &[&[u8]] = &[b"Transfer-Encoding: chunked"];
    let asked = house.try_ask("POST", "/api/v1/conversations", lines, b"");
    let pace = std::time::Duration::from_millis(Limits::default().body_grace_ms / 2);
    let answer = tokio::time::timeout(pace, asked).await.unwrap().unwrap();
    assert_eq!((answer.status, &*answer.code()), (401, "unauthenticated"));
}
