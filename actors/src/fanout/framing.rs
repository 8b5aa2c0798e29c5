//! Server frames of RFC 6455: unmasked, so header and payload are encoded
//! once and shared by every receiver.

use bytes::{BufMut, Bytes, BytesMut};

/// A text message in one frame.
pub fn text_frame(payload: &[u8]) -> Bytes {
    frame(0x1, payload)
}

/// A close frame (RFC 6455, 5.5.1); the reason is cut at 123 bytes.
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = BytesMut::with_capacity(2 + end);
    payload.put_u16(code);
    payload.put_slice(&reason.as_bytes()[..end]);
    frame(0x8, &payload)
}

/// A ping without payload.
pub fn ping_frame() -> Bytes {
    frame(0x9, &[])
}

/// The answer to a ping; the payload is cut at 125 bytes.
pub fn pong_frame(payload: &[u8]) -> Bytes {
    frame(0xA, &payload[..payload.len().min(125)])
}

fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => frame.put_u8(length as u8),
        length @ 126..=0xFFFF => {
            frame.put_u8(126);
            frame.put_u16(length as u16);
        }
        length => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}
