//! HTTP from the client's side: the WebSocket handshake (RFC 6455, section
//! 4) and heads of answers.

use super::Who;

/// Appends the upgrade request. The key is the same for all: it protects
/// from caches, of which there are none here.
pub fn upgrade(who: &Who<'_>, subprotocol: Option<&str>, out: &mut Vec<u8>) {
    let offer = subprotocol.map_or_else(String::new, |name| {
        format!("Sec-WebSocket-Protocol: {name}\r\n")
    });
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n",
        who.path, who.host
    );
    out.extend_from_slice(request.as_bytes());
}

/// Bytes of the answer's head once all of it is there.
///
/// # Errors
/// The status line, when it is no 101, and a head above 16 KiB.
pub fn upgraded(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = head(bytes)? else {
        return Ok(None);
    };
    expect(bytes, b"HTTP/1.1 101 ").map_err(|line| format!("upgrade refused: {line}"))?;
    Ok(Some(end))
}

/// Bytes of an answer's head once all of it is there.
///
/// # Errors
/// A head above 16 KiB.
pub fn head(bytes: &[u8]) -> Result<Option<usize>, String> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    if end.is_none() && bytes.len() > 16 << 10 {
        return Err("no end of headers within 16 KiB".into());
    }
    Ok(end.map(|end| end + 4))
}

/// The answer must begin like this.
///
/// # Errors
/// The status line, when it does not.
pub fn expect(bytes: &[u8], status: &[u8]) -> Result<(), String> {
    if bytes.starts_with(status) {
        return Ok(());
    }
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or(bytes);
    Err(String::from_utf8_lossy(line).into_owned())
}

/// How long the body of an answer with this head is, if it says so.
pub fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    let (_, value) = (head.lines())
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    value.trim().parse().ok()
}
