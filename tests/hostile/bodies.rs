//! Bodies that are slow, too large or not what their head says.

use std::time::Duration;

use crate::harness::raw::Raw;
use crate::harness::{Options, Server};

use super::{Others, SHORT_MS, counted, statuses};

/// A log-in of a stranger, whose body is read before anything is known of him.
fn log_in(lines: &str) -> String {
    format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{lines}\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_are_given_up() {
    let server = Options::new()
        .limit("body_grace_ms", SHORT_MS)
        .start()
        .await;
    let others = Others::on(&server).await;
    let head = log_in("Content-Length: 100000\r\n");
    let chunked = log_in("Transfer-Encoding: chunked\r\n");
    let mut tasks = Vec::new();
    for at in 0..40 {
        let mut raw = Raw::connect(server.address()).await;
        let (start, more) = match at % 4 {
            0 => (head.clone(), ""),
            1 => (head.clone() + "{\"login\"", ""),
            2 => (head.clone(), "x"),
            _ => (chunked.clone(), "1\r\nx\r\n"),
        };
        tasks.push(tokio::spawn(async move {
            let mut taken = raw.write(start.as_bytes()).await;
            while taken && !more.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                taken = raw.write(more.as_bytes()).await;
            }
            raw.end().await
        }));
    }
    others.are_served().await;
    for task in tasks {
        let said = task.await.unwrap();
        // It may be lost: the client still wrote.
        assert!(["400"].starts_with(&statuses(&said)), "{said}");
    }
    counted(&server, "fanfare_http_slow_bodies_total", |count| {
        count == 40.0
    })
    .await;
    others.are_served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_are_not_read() {
    let server = Server::start().await;
    let others = Others::on(&server).await;
    let before_kib = server.process().resident_kib();
    let mut raws = Vec::new();
    for at in 0..20 {
        let mut raw = Raw::connect(server.address()).await;
        let lines = match at % 2 {
            0 => "Content-Length: 1000000000000\r\n",
            _ => "Transfer-Encoding: chunked\r\n",
        };
        let piece = match at % 2 {
            0 => "x".repeat(64 << 10),
            _ => format!("10000\r\n{}\r\n", "x".repeat(64 << 10)),
        };
        let mut sent = 0;
        let mut taken = raw.write(log_in(lines).as_bytes()).await;
        while taken {
            taken = raw.write(piece.as_bytes()).await;
            sent += piece.len();
            assert!(sent < 64 << 20, "the body is read without end");
        }
        raws.push(raw);
    }
    for mut raw in raws {
        let said = raw.end().await;
        assert!(["413"].starts_with(&statuses(&said)), "{said}");
    }
    // Whatever the kernel held of it, the server did not.
    let grown_kib = server.process().resident_kib().saturating_sub(before_kib);
    assert!(grown_kib < 32 << 10, "{grown_kib} KiB for nothing");
    others.are_served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_chunks_end_the_connection() {
    let server = Server::start().await;
    let others = Others::on(&server).await;
    let next = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let endless = "f".repeat(64 << 10);
    for (what, body) in [
        ("no number", "ZZ\r\n{}\r\n0\r\n\r\n".to_owned()),
        ("a negative one", "-2\r\n{}\r\n0\r\n\r\n".to_owned()),
        ("one with a sign", "+2\r\n{}\r\n0\r\n\r\n".to_owned()),
        ("one with 0x", "0x2\r\n{}\r\n0\r\n\r\n".to_owned()),
        (
            "one of 65 bits",
            "10000000000000000\r\n{}\r\n0\r\n\r\n".to_owned(),
        ),
        ("none at all", "\r\n{}\r\n0\r\n\r\n".to_owned()),
        ("more than it says", "1\r\n{}\r\n0\r\n\r\n".to_owned()),
        ("no line end behind it", "2\r\n{}0\r\n\r\n".to_owned()),
        ("a number without end", endless.clone()),
        ("an extension without end", format!("2;{endless}{endless}")),
        (
            "a trailer without end",
            format!("2\r\n{{}}\r\n0\r\nX: {endless}{endless}"),
        ),
        (
            "trailers without number",
            format!("2\r\n{{}}\r\n0\r\n{}", "X: y\r\n".repeat(9000)),
        ),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        let sent = log_in("Transfer-Encoding: chunked\r\n") + &body + next;
        raw.write(sent.as_bytes()).await;
        let said = raw.end().await;
        // Refused once, or cut: never is the rest taken for a request.
        assert!(["400"].starts_with(&statuses(&said)), "{what}: {said}");
    }
    // Right ones are understood: the answer is about the fields.
    let mut raw = Raw::connect(server.address()).await;
    let sent = log_in("Transfer-Encoding: chunked\r\nConnection: close\r\n");
    raw.write(format!("{sent}1;ext=\"x\"\r\n{{\r\n1\r\n}}\r\n0\r\nTrailer: x\r\n\r\n").as_bytes())
        .await;
    let said = raw.end().await;
    assert_eq!(statuses(&said), ["422"], "{said}");
    others.are_served().await;
}
