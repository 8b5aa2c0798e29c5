//! Requests that never get as far as their end: slow, half, huge, followed by noise.

use std::time::Duration;

use crate::harness::raw::Raw;
use crate::harness::{Options, Server};

use super::{Others, SHORT_MS, counted, statuses};

const OPEN: &str = "fanfare_connections_open";

/// One byte of a header after the other, without end, for as long as somebody takes them.
async fn trickle(mut raw: Raw, start: &str) -> String {
    let mut taken = raw.write(start.as_bytes()).await;
    while taken {
        tokio::time::sleep(Duration::from_millis(20)).await;
        taken = raw.write(b"x").await;
    }
    raw.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_slow_heads_are_cut_off() {
    let server = Options::new()
        .limit("header_ms_max", SHORT_MS)
        .start()
        .await;
    let others = Others::on(&server).await;
    let mut silent = Vec::new();
    let mut slow = Vec::new();
    for at in 0..160 {
        let mut raw = Raw::connect(server.address()).await;
        let start = match at % 4 {
            0 => "",
            1 => "GET /liv",
            2 => "GET /livez HTTP/1.1\r\nHost: x\r\nX-Half",
            _ => "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        };
        if at % 4 == 3 {
            slow.push(tokio::spawn(trickle(raw, start)));
        } else {
            raw.write(start.as_bytes()).await;
            silent.push(raw);
        }
    }
    // One that was honest once, and then says nothing more.
    let mut idle = Raw::connect(server.address()).await;
    let head = idle.request("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    silent.push(idle);
    others.are_served().await;
    for mut raw in silent {
        let said = raw.end().await;
        assert!(!said.contains("HTTP/1.1 2"), "{said}");
    }
    for trickle in slow {
        let said = trickle.await.unwrap();
        assert!(!said.contains("HTTP/1.1 2"), "{said}");
    }
    // The socket of the others, and the question itself.
    counted(&server, OPEN, |open| open <= 2.0).await;
    others.are_served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_heads_are_refused_unread() {
    let server = Server::start().await;
    let others = Others::on(&server).await;
    let get = |path: &str, lines: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n")
    };
    let lines = |count: usize, bytes: usize| -> String {
        let value = "v".repeat(bytes);
        (0..count)
            .map(|at| format!("X-{at}: {value}\r\n"))
            .collect()
    };
    let long = "x".repeat(20 * 1024);
    for (what, request, expected) in [
        ("64 headers", get("/livez", &lines(62, 4)), "200"),
        ("15 KiB", get("/livez", &lines(1, 15 * 1024)), "200"),
        ("65 headers", get("/livez", &lines(63, 4)), "431"),
        ("a line of 20 KiB", get(&format!("/{long}"), ""), "431"),
        (
            "a header of 20 KiB",
            get("/livez", &lines(1, 20 * 1024)),
            "431",
        ),
        (
            "a name of 20 KiB",
            get("/livez", &format!("{long}: x\r\n")),
            "431",
        ),
        (
            "18 KiB in 60 headers",
            get("/livez", &lines(60, 300)),
            "431",
        ),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        raw.write(request.as_bytes()).await;
        let said = raw.end().await;
        // The answer may be lost where the rest was not read.
        let right = statuses(&said) == [expected] || (expected != "200" && said.is_empty());
        assert!(right, "{what}: {said}");
    }
    // One without end is cut long before that.
    let mut endless = Raw::connect(server.address()).await;
    endless
        .write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        .await;
    let taken = endless.write(&vec![b'x'; 64 << 20]).await;
    assert!(!taken, "64 MiB of a header were taken");
    others.are_served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_behind_a_request_is_not_taken_for_one() {
    let server = Server::start().await;
    let others = Others::on(&server).await;
    let get = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\n\
        Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    for (what, sent, expected) in [
        (
            "three in one write",
            get.repeat(3) + "\0",
            &["200", "200", "200", "400"][..],
        ),
        (
            "garbage",
            format!("{get}\0\x01\x02 nonsense\r\n\r\n"),
            &["200", "400"],
        ),
        (
            "a body that is longer",
            format!("{post}XXXX\r\n\r\n"),
            &["422", "400"],
        ),
        (
            "a TLS greeting",
            format!("{get}\x16\x03\x01\x02\x00\x01"),
            &["200", "400"],
        ),
        (
            "the preface of HTTP/2",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            &[],
        ),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        raw.write(sent.as_bytes()).await;
        assert_eq!(statuses(&raw.end().await), expected, "{what}");
    }
    others.are_served().await;
}
