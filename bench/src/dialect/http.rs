//! The WebSocket handshake from the client's side (RFC 6455, section 4).

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
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        if bytes.len() > 16 << 10 {
            return Err("no end of headers within 16 KiB".into());
        }
        return Ok(None);
    };
    if bytes.starts_with(b"HTTP/1.1 101 ") {
        return Ok(Some(end + 4));
    }
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or(bytes);
    Err(format!(
        "upgrade refused: {}",
        String::from_utf8_lossy(line)
    ))
}
