//! WebSocket bytes from the server's side, as far as the limit needs them.

use base64::Engine as _;
use sha1::Digest as _;

/// The answer to an upgrade request; `None` if it is none.
pub(super) fn upgrade(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim())
    })?;
    let digest = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = base64::engine::general_purpose::STANDARD.encode(digest);
    Some(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

/// Takes the mask off the frame at the start of `bytes`: its payload (of a
/// text) and how many bytes it took; `None` until all of it is there.
///
/// # Errors
/// A close frame, or one without a mask.
pub(super) fn unmasked(bytes: &mut [u8]) -> Result<Option<(&[u8], usize)>, ()> {
    let [first, second, ..] = *bytes else {
        return Ok(None);
    };
    if second & 0x80 == 0 || first & 0x0f == 0x8 {
        return Err(());
    }
    let (header, length) = match second & 0x7f {
        126 => match bytes.get(2..4) {
            Some(two) => (4, usize::from(two[0]) << 8 | usize::from(two[1])),
            None => return Ok(None),
        },
        127 => return Err(()),
        length => (2, usize::from(length)),
    };
    let end = header + 4 + length;
    let Some(frame) = bytes.get_mut(header..end) else {
        return Ok(None);
    };
    let (mask, payload) = frame.split_at_mut(4);
    if mask != [0; 4] {
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
    }
    Ok(Some((payload, end)))
}

/// Appends a text frame, filled with spaces inside its JSON object up to
/// `frame_bytes` in all.
pub(super) fn framed(payload: &[u8], frame_bytes: usize, out: &mut Vec<u8>) {
    let header = if frame_bytes.max(payload.len()) > 125 {
        4
    } else {
        2
    };
    let fill = frame_bytes.saturating_sub(header + payload.len());
    let length = payload.len() + fill;
    out.push(0x81);
    match u8::try_from(length) {
        Ok(length) if length <= 125 => out.push(length),
        _ => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    let (inside, end) = payload.split_at(payload.len().saturating_sub(1));
    out.extend_from_slice(inside);
    out.resize(out.len() + fill, b' ');
    out.extend_from_slice(end);
}
