//! What the server writes (RFC 6455 §5.2): frames without a mask, so that
//! header and payload are encoded once and the same bytes go to every socket.

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::{CONTROL_PAYLOAD_BYTES, Opcode};

/// The header of an unfragmented server frame: 2, 4 or 10 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    bytes: [u8; 10],
    used: u8,
}

/// The header of a whole, unmasked frame with `payload_bytes` of payload.
#[must_use]
pub fn frame_header(opcode: Opcode, payload_bytes: usize) -> FrameHead {
    let mut bytes = [0; 10];
    let mut out = bytes.as_mut_slice();
    out.put_u8(0x80 | opcode as u8);
    if let Ok(short) = u8::try_from(payload_bytes)
        && short < 126
    {
        out.put_u8(short);
    } else if let Ok(medium) = u16::try_from(payload_bytes) {
        out.put_u8(126);
        out.put_u16(medium);
    } else {
        out.put_u8(127);
        out.put_u64(payload_bytes as u64);
    }
    let used = match payload_bytes {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    };
    FrameHead { bytes, used }
}

/// One text frame, ready to be shared.
#[must_use]
pub fn text_frame(payload: &str) -> Bytes {
    frame(Opcode::Text, payload.as_bytes())
}

/// One binary frame, ready to be shared.
#[must_use]
pub fn binary_frame(payload: &[u8]) -> Bytes {
    frame(Opcode::Binary, payload)
}

/// A ping; a payload beyond 125 bytes is cut.
#[must_use]
pub fn ping_frame(payload: &[u8]) -> Bytes {
    frame(Opcode::Ping, control_payload(payload))
}

/// A pong; a payload beyond 125 bytes is cut.
#[must_use]
pub fn pong_frame(payload: &[u8]) -> Bytes {
    frame(Opcode::Pong, control_payload(payload))
}

/// A close frame; a reason beyond 123 bytes is cut between two characters.
#[must_use]
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(CONTROL_PAYLOAD_BYTES - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = Vec::with_capacity(CONTROL_PAYLOAD_BYTES);
    payload.put_u16(code);
    payload.put_slice(reason.get(..end).unwrap_or_default().as_bytes());
    frame(Opcode::Close, &payload)
}

impl AsRef<[u8]> for FrameHead {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.used)).unwrap_or_default()
    }
}

fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let head = frame_header(opcode, payload.len());
    let mut out = BytesMut::with_capacity(head.as_ref().len() + payload.len());
    out.put_slice(head.as_ref());
    out.put_slice(payload);
    out.freeze()
}

fn control_payload(payload: &[u8]) -> &[u8] {
    payload.get(..CONTROL_PAYLOAD_BYTES).unwrap_or(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_take_the_shortest_length() {
        let table: [(usize, &[u8]); 6] = [
            (0, &[0x81, 0]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65535, &[0x81, 126, 0xFF, 0xFF]),
            (65536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (1 << 32, &[0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0]),
        ];
        for (payload_bytes, expected) in table {
            let head = frame_header(Opcode::Text, payload_bytes);
            assert_eq!(head.as_ref(), expected, "{payload_bytes} bytes");
        }
    }

    #[test]
    fn frames_as_the_rfc_prints_them() {
        // RFC 6455 §5.7
        assert_eq!(&text_frame("Hello")[..], b"\x81\x05Hello");
        assert_eq!(&ping_frame(b"Hello")[..], b"\x89\x05Hello");
        assert_eq!(&pong_frame(b"Hello")[..], b"\x8a\x05Hello");
        assert_eq!(&binary_frame(&[7; 256])[..4], b"\x82\x7e\x01\x00");
        assert_eq!(&close_frame(1000, "bye")[..], b"\x88\x05\x03\xe8bye");
    }

    #[test]
    fn control_frames_never_exceed_125_bytes() {
        let reason = "ä".repeat(100);
        let frame = close_frame(4000, &reason);
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
        assert_eq!(ping_frame(&[0; 200]).len(), 2 + 125);
    }
}
