//! Requests that two servers in a row would cut differently (RFC 9112, 11.2): one answer,
//! then the end of the connection, so that nothing hides behind it.

use crate::harness::Server;
use crate::harness::raw::Raw;

use super::{Others, statuses};

/// What would be smuggled in.
const HIDDEN: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_lengths_end_the_connection() {
    let server = Server::start().await;
    let others = Others::on(&server).await;
    let chunks = format!("2\r\n{{}}\r\n0\r\n\r\n{HIDDEN}");
    let length = format!("Content-Length: {}\r\n", chunks.len());
    for (what, lines, body, expected) in [
        // RFC 9112, 6.3: the encoding wins, the connection must end.
        (
            "length, then encoding",
            format!("{length}Transfer-Encoding: chunked\r\n"),
            &chunks[..],
            "422",
        ),
        (
            "encoding, then length",
            format!("Transfer-Encoding: chunked\r\n{length}"),
            &chunks,
            "422",
        ),
        (
            "two lengths",
            format!("Content-Length: 0\r\n{length}"),
            &chunks,
            "400",
        ),
        (
            "two lengths in a line",
            "Content-Length: 0, 44\r\n".to_owned(),
            HIDDEN,
            "400",
        ),
        (
            "a signed length",
            "Content-Length: +0\r\n".to_owned(),
            HIDDEN,
            "400",
        ),
        (
            "a negative one",
            "Content-Length: -1\r\n".to_owned(),
            HIDDEN,
            "400",
        ),
        (
            "a hexadecimal one",
            "Content-Length: 0x0\r\n".to_owned(),
            HIDDEN,
            "400",
        ),
        (
            "one with a blank",
            "Content-Length: 0 0\r\n".to_owned(),
            HIDDEN,
            "400",
        ),
        (
            "an empty one",
            "Content-Length:\r\n".to_owned(),
            HIDDEN,
            "400",
        ),
        (
            "a blank before the colon",
            "Content-Length : 0\r\n".to_owned(),
            HIDDEN,
            "400",
        ),
        (
            "the same before chunked",
            "Transfer-Encoding : chunked\r\n".to_owned(),
            &chunks,
            "400",
        ),
        (
            "chunked, not last",
            "Transfer-Encoding: chunked, identity\r\n".to_owned(),
            &chunks,
            "400",
        ),
        (
            "an unknown encoding",
            "Transfer-Encoding: xchunked\r\n".to_owned(),
            &chunks,
            "400",
        ),
        (
            "chunked, hidden",
            "Transfer-Encoding: \x0bchunked\r\n".to_owned(),
            &chunks,
            "400",
        ),
        (
            "a folded line",
            "X-Folded: a\r\n b\r\n".to_owned(),
            HIDDEN,
            "400",
        ),
        (
            "a folded encoding",
            "Transfer-Encoding:\r\n chunked\r\n".to_owned(),
            &chunks,
            "400",
        ),
        (
            "a bare carriage return",
            "X: a\rTransfer-Encoding: chunked\r\n".to_owned(),
            &chunks,
            "400",
        ),
        ("a zero byte", "X: a\0b\r\n".to_owned(), HIDDEN, "400"),
        ("no colon", "Nonsense\r\n".to_owned(), HIDDEN, "400"),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\n";
        raw.write(format!("{head}{lines}\r\n{body}").as_bytes())
            .await;
        let said = raw.end().await;
        assert_eq!(statuses(&said), [expected], "{what}: {said}");
    }
    others.are_served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_lines_and_hosts_are_as_the_rfc_wants_them() {
    let server = Server::start().await;
    let others = Others::on(&server).await;
    let close = "Connection: close\r\n\r\n";
    for (what, sent, expected) in [
        ("no host", format!("GET /livez HTTP/1.1\r\n{close}"), "400"),
        (
            "two hosts",
            format!("GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n{close}"),
            "400",
        ),
        (
            "none in HTTP/1.0",
            format!("GET /livez HTTP/1.0\r\n{close}"),
            "200",
        ),
        ("HTTP/0.9", "GET /livez\r\n\r\n".to_owned(), "400"),
        (
            "HTTP/3.0",
            format!("GET /livez HTTP/3.0\r\nHost: x\r\n{close}"),
            "400",
        ),
        (
            "a blank in the path",
            format!("GET /li vez HTTP/1.1\r\nHost: x\r\n{close}"),
            "400",
        ),
        (
            "a method of noise",
            format!("G\x7fT /livez HTTP/1.1\r\nHost: x\r\n{close}"),
            "400",
        ),
        // Lines may end in LF alone (RFC 9112, 2.2): there is nothing in it to cut
        // differently as long as nothing else is broken.
        (
            "LF only",
            "GET /livez HTTP/1.1\nHost: x\nConnection: close\n\n".to_owned(),
            "200",
        ),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        raw.write(sent.as_bytes()).await;
        let said = raw.end().await.replace("HTTP/1.0 ", "HTTP/1.1 ");
        assert_eq!(statuses(&said), [expected], "{what}: {said}");
    }
    others.are_served().await;
}
