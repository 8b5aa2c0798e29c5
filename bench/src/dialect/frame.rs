//! WebSocket frames from the client's side (RFC 6455, section 5): servers
//! send them unmasked, clients masked. Reading borrows; nothing is copied but
//! the pieces of a message that came in several frames.

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Another piece of the message begun before.
    Continuation,
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
    /// The end, with a code and a reason.
    Close,
    /// To be answered by a pong with the same payload.
    Ping,
    /// An answer to a ping.
    Pong,
}

/// One frame as it lies in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whether the message ends here.
    pub last: bool,
    /// What it is.
    pub opcode: Opcode,
    /// Without the header.
    pub payload: &'a [u8],
    /// Header and payload together.
    pub bytes: usize,
}

/// What stands before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with this frame.
    pub last: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// Bytes of the header itself.
    pub bytes: usize,
    /// Bytes of the payload behind it.
    pub payload_bytes: u64,
}

/// The largest frame that is read as a whole. [2 MiB: far above any page or list.]
const FRAME_BYTES_MAX: u64 = 2 << 20;

/// The frame at the start of `bytes`; `None` until all of it is there.
///
/// # Errors
/// What [`header`] says, and a frame above 2 MiB.
#[inline]
pub fn frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, String> {
    let Some(header) = header(bytes)? else {
        return Ok(None);
    };
    if header.payload_bytes > FRAME_BYTES_MAX {
        return Err(format!("frame of {} bytes", header.payload_bytes));
    }
    let end = header.bytes + header.payload_bytes as usize;
    Ok(bytes.get(header.bytes..end).map(|payload| Frame {
        last: header.last,
        opcode: header.opcode,
        payload,
        bytes: end,
    }))
}

/// The frame header at the start of `bytes`; `None` until all of it is there.
///
/// # Errors
/// What no server may send: a mask, reserved bits, an unknown opcode, a
/// control frame above 125 bytes.
#[inline]
pub fn header(bytes: &[u8]) -> Result<Option<Header>, String> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let opcode = match first & 0x7f {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xa => Opcode::Pong,
        _ => return Err(format!("frame with first byte {first:#04x}")),
    };
    let (bytes, payload_bytes) = match second {
        0..=125 => (2, u64::from(*second)),
        126..=127 if first & 8 != 0 => return Err("control frame above 125 bytes".into()),
        126 => match rest.first_chunk() {
            Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        _ => return Err("masked frame from the server".into()),
    };
    Ok(Some(Header {
        last: first & 0x80 != 0,
        opcode,
        bytes,
        payload_bytes,
    }))
}

/// Appends a masked frame. The mask is zero: the server does the same work
/// for any mask, and the generator less.
pub fn masked(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let code = match opcode {
        Opcode::Continuation => 0x0,
        Opcode::Text => 0x1,
        Opcode::Binary => 0x2,
        Opcode::Close => 0x8,
        Opcode::Ping => 0x9,
        Opcode::Pong => 0xa,
    };
    out.push(0x80 | code);
    let length = payload.len();
    if length <= 125 {
        out.push(0x80 | length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(0x80 | 126);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(0x80 | 127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// What a close frame says, for people.
pub fn close_reason(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, reason)) => format!(
            "closed by the server with {} {}",
            u16::from_be_bytes(*code),
            String::from_utf8_lossy(reason)
        ),
        None => "closed by the server without a code".into(),
    }
}

/// Puts messages together that came in several frames.
#[derive(Debug, Default)]
pub struct Pieces(Vec<u8>);

impl Pieces {
    /// Gives whole data messages to `whole`, answers pings into `pong`, and
    /// returns how many bytes were used.
    ///
    /// # Errors
    /// A close frame, a malformed frame, or what `whole` says.
    #[inline]
    pub fn read<C>(
        &mut self,
        bytes: &[u8],
        context: &mut C,
        whole: impl Fn(&mut C, &[u8]) -> Result<(), String>,
        pong: impl Fn(&mut C) -> &mut Vec<u8>,
    ) -> Result<usize, String> {
        let mut used = 0;
        while let Some(frame) = frame(&bytes[used..])? {
            used += frame.bytes;
            match frame.opcode {
                Opcode::Text | Opcode::Binary if frame.last => whole(context, frame.payload)?,
                Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                    self.0.extend_from_slice(frame.payload);
                    if self.0.len() as u64 > FRAME_BYTES_MAX {
                        return Err("message above 2 MiB".into());
                    }
                    if frame.last {
                        whole(context, &std::mem::take(&mut self.0))?;
                    }
                }
                Opcode::Ping => masked(Opcode::Pong, frame.payload, pong(context)),
                Opcode::Pong => {}
                Opcode::Close => return Err(close_reason(frame.payload)),
            }
        }
        Ok(used)
    }
}
