//! What a WebSocket frame is made of (RFC 6455 §5): opcodes, the header of a
//! client frame, masking, close codes.
//!
//! Messages are put together in `decoder`; what we send is framed by
//! `fanfare_actors::fanout`.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The most that a close, ping or pong frame may carry, in bytes (RFC 6455 §5.5).
pub const CONTROL_PAYLOAD_BYTES: usize = 125;

/// The longest header of a client frame, in bytes: 2, a length of 8, a mask of 4.
pub(crate) const HEAD_BYTES: usize = 14;

/// The opcodes of RFC 6455 §5.2; all others are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The next fragment of the message under way.
    Continuation = 0x0,
    /// UTF-8 text.
    Text = 0x1,
    /// Bytes.
    Binary = 0x2,
    /// The last frame of a side.
    Close = 0x8,
    /// Asks for a pong with the same payload.
    Ping = 0x9,
    /// Answers a ping.
    Pong = 0xA,
}

/// Why a client's bytes are not a WebSocket stream we accept. The connection
/// is closed with `close_code` (RFC 6455 §7.4.1) and must not be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Fault {
    /// 1002 protocol, 1007 not UTF-8, 1008 policy, 1009 too large.
    pub close_code: u16,
    /// At most 123 bytes, so that it fits a close frame.
    pub reason: &'static str,
}

impl Fault {
    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self {
            close_code: 1002,
            reason,
        }
    }

    pub(crate) const fn not_utf8() -> Self {
        Self {
            close_code: 1007,
            reason: "text is not UTF-8",
        }
    }

    pub(crate) const fn policy(reason: &'static str) -> Self {
        Self {
            close_code: 1008,
            reason,
        }
    }

    pub(crate) const fn too_large(reason: &'static str) -> Self {
        Self {
            close_code: 1009,
            reason,
        }
    }
}

/// Whether a peer may send this close code (RFC 6455 §7.4.2 and the IANA
/// registry): 1004, 1005, 1006 and 1015 never stand on the wire, 1016 to 2999
/// belong to nobody yet.
#[must_use]
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

impl Opcode {
    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn from_wire(opcode: OpCode) -> Option<Self> {
        match opcode {
            OpCode::Data(Data::Continue) => Some(Self::Continuation),
            OpCode::Data(Data::Text) => Some(Self::Text),
            OpCode::Data(Data::Binary) => Some(Self::Binary),
            OpCode::Control(Control::Close) => Some(Self::Close),
            OpCode::Control(Control::Ping) => Some(Self::Ping),
            OpCode::Control(Control::Pong) => Some(Self::Pong),
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => None,
        }
    }
}

/// The header of a client frame, correct in itself: masked, no reserved bit or
/// opcode, shortest length, control frames whole and small. Sizes and the
/// order of fragments are judged by whoever knows the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) opcode: Opcode,
    pub(crate) is_final: bool,
    pub(crate) mask: [u8; 4],
    pub(crate) payload_bytes: u64,
}

impl Head {
    /// The header at the start of `bytes` and its own length; `None` when it is
    /// not complete. [`HEAD_BYTES`] bytes are always enough.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        let mut cursor = Cursor::new(bytes);
        // The crate refuses reserved opcodes and nothing else.
        let Some((header, payload_bytes)) =
            FrameHeader::parse(&mut cursor).map_err(|_| Fault::protocol("reserved opcode"))?
        else {
            return Ok(None);
        };
        let head_bytes = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        let opcode = Opcode::from_wire(header.opcode).ok_or(Fault::protocol("reserved opcode"))?;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Fault::protocol("reserved bit set"));
        }
        let Some(mask) = header.mask else {
            return Err(Fault::protocol("client frame is not masked"));
        };
        if payload_bytes >> 63 != 0 || header.len(payload_bytes) != head_bytes {
            return Err(Fault::protocol("length is not in its shortest form"));
        }
        if opcode.is_control() {
            if !header.is_final {
                return Err(Fault::protocol("control frame is fragmented"));
            }
            if payload_bytes > CONTROL_PAYLOAD_BYTES as u64 {
                return Err(Fault::protocol("control frame is longer than 125 bytes"));
            }
        }
        let head = Self {
            opcode,
            is_final: header.is_final,
            mask,
            payload_bytes,
        };
        Ok(Some((head, head_bytes)))
    }
}

/// Masks or unmasks in place (RFC 6455 §5.3), eight bytes at a time. `offset`
/// is how many bytes of the same frame came before.
pub(crate) fn unmask(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let mut key = mask;
    key.rotate_left(offset % 4);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_does_not_depend_on_where_a_frame_is_cut() {
        let mask = [1, 2, 4, 8];
        let plain: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let expected: Vec<u8> = plain
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ mask[at % 4])
            .collect();
        for cut in 0..32 {
            let mut bytes = plain.clone();
            let (left, right) = bytes.split_at_mut(cut);
            unmask(left, mask, 0);
            unmask(right, mask, cut);
            assert_eq!(bytes, expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_header_is_read_only_when_complete() {
        let bytes = [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 9, 8, 7, 6];
        for end in 0..bytes.len() {
            assert_eq!(Head::parse(&bytes[..end]), Ok(None), "{end} bytes");
        }
        let (head, head_bytes) = Head::parse(&bytes).unwrap().unwrap();
        assert_eq!(head_bytes, HEAD_BYTES);
        assert_eq!(head.payload_bytes, 65536);
        assert_eq!(head.mask, [9, 8, 7, 6]);
    }

    #[test]
    fn close_codes_that_may_stand_on_the_wire() {
        let yes = [
            1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1014, 3000, 3999, 4000, 4999,
        ];
        let no = [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ];
        for code in yes {
            assert!(is_close_code(code), "{code}");
        }
        for code in no {
            assert!(!is_close_code(code), "{code}");
        }
    }
}
