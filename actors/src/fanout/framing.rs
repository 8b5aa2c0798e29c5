//! Server frames of RFC 6455: unmasked, so header and payload are encoded
//! once and shared by every receiver. And the same for event streams (HTML,
//! "Server-sent events"): a payload is one line of an event's data.

use bytes::{BufMut, Bytes, BytesMut};
use fanfare_protocol::limits::FRAME_HEAD_BYTES_MAX;

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
    Bytes::from_static(b"\x89\x00")
}

/// The answer to a ping; the payload is cut at 125 bytes.
pub fn pong_frame(payload: &[u8]) -> Bytes {
    frame(0xA, &payload[..payload.len().min(125)])
}

/// A final frame behind what `out` has.
pub(super) fn put_frame(out: &mut impl BufMut, opcode: u8, payload: &[u8]) {
    out.put_u8(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.put_u8(length as u8),
        length @ 126..=0xFFFF => {
            out.put_u8(126);
            out.put_u16(length as u16);
        }
        length => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    out.put_slice(payload);
}

/// A close as the last event of a stream: a type of its own, so that it is
/// never taken for a frame.
pub(super) fn close_event(code: u16, reason: &str) -> Bytes {
    let data = serde_json::json!({ "code": code, "reason": reason });
    let mut event = BytesMut::from(&b"event: close\n"[..]);
    put_event(&mut event, data.to_string().as_bytes());
    event.freeze()
}

/// A comment, which clients skip: keeps the connection in use.
pub(super) fn ping_comment() -> Bytes {
    Bytes::from_static(b":\n\n")
}

/// An event of the type that has no name, behind what `out` has. The payload
/// must hold no line break: JSON has none outside its strings, and escapes
/// them inside.
pub(super) fn put_event(out: &mut impl BufMut, payload: &[u8]) {
    out.put_slice(b"data: ");
    out.put_slice(payload);
    out.put_slice(b"\n\n");
}

fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + FRAME_HEAD_BYTES_MAX);
    put_frame(&mut frame, opcode, payload);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_take_the_shortest_length() {
        let table: [(usize, &[u8]); 5] = [
            (0, &[0x81, 0]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65535, &[0x81, 126, 0xFF, 0xFF]),
            (65536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ];
        for (payload_bytes, head) in table {
            let frame = text_frame(&vec![b'x'; payload_bytes]);
            assert!(frame.starts_with(head), "{payload_bytes} bytes");
            assert_eq!(frame.len(), head.len() + payload_bytes);
        }
    }

    #[test]
    fn frames_as_the_rfc_prints_them() {
        // RFC 6455, 5.7
        assert_eq!(&text_frame(b"Hello")[..], b"\x81\x05Hello");
        assert_eq!(&pong_frame(b"Hello")[..], b"\x8a\x05Hello");
        assert_eq!(&ping_frame()[..], b"\x89\x00");
        assert_eq!(&close_frame(1000, "bye")[..], b"\x88\x05\x03\xe8bye");
    }

    #[test]
    fn events_as_a_stream_holds_them() {
        let mut out = BytesMut::new();
        put_event(&mut out, br#"{"re":1,"data":{}}"#);
        assert_eq!(&out[..], b"data: {\"re\":1,\"data\":{}}\n\n");
        assert_eq!(&ping_comment()[..], b":\n\n");
        assert_eq!(
            &close_event(4000, "a \"slow\"\nreader")[..],
            b"event: close\ndata: {\"code\":4000,\"reason\":\"a \\\"slow\\\"\\nreader\"}\n\n"
        );
        // What goes around a payload is what buffers are sized for.
        assert!(out.len() - br#"{"re":1,"data":{}}"#.len() <= FRAME_HEAD_BYTES_MAX);
    }

    #[test]
    fn control_frames_never_exceed_125_bytes() {
        // Cut between two characters, not within one.
        let frame = close_frame(4000, &"ä".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
        assert_eq!(pong_frame(&[0; 200]).len(), 2 + 125);
    }
}
