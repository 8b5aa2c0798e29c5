//! Client bytes → messages (RFC 6455 §5 to §8), without IO, clock or runtime:
//! masking, fragments, UTF-8 and every limit on what a client may send.
//!
//! What arrives whole in one read is handed on borrowed, unmasked in place;
//! only what is cut off is kept.
//! **Invariant:** between messages a decoder owns no heap memory.
//! **Invariant:** what it owns follows the bytes received, never an announced
//! length, and stays below `message_bytes_max` + one control frame.

use std::borrow::Cow;
use std::mem;
use std::time::Instant;

use fanfare_protocol::limits::Limits;

use super::frame::{Fault, HEAD_BYTES, Head, Opcode, is_close_code, unmask};

/// What one connection may make us hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderLimits {
    /// The largest payload of one data frame, in bytes.
    pub frame_bytes_max: usize,
    /// The largest message after its fragments are joined, in bytes.
    pub message_bytes_max: usize,
    /// How many empty fragments one message may have.
    pub empty_fragments_max: usize,
}

impl From<&Limits> for DecoderLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            frame_bytes_max: limits.frame_bytes_max,
            message_bytes_max: limits.inbound_message_bytes_max,
            empty_fragments_max: limits.empty_fragments_max,
        }
    }
}

/// What a client said. Borrows the read buffer when it arrived in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message, valid UTF-8.
    Text(Cow<'a, str>),
    /// A whole binary message.
    Binary(Cow<'a, [u8]>),
    /// To be answered by a pong with this payload (at most 125 bytes).
    Ping(Cow<'a, [u8]>),
    /// The client is alive; the payload is of no interest.
    Pong,
    /// The last thing this client says; what follows is ignored.
    Close(Option<CloseReason>),
}

/// What a client's close frame carried; the code is one that may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    /// 1000–1003, 1007–1014 or 3000–4999.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: String,
}

/// One connection's reading side.
#[derive(Debug)]
pub struct Decoder {
    limits: DecoderLimits,
    /// A header that was cut off: the first `head_held` bytes.
    head: [u8; HEAD_BYTES],
    head_held: usize,
    /// The frame whose payload is under way.
    frame: Option<Frame>,
    /// The payload so far of a control frame that was cut off; nothing but its
    /// end can follow, so it is empty whenever the stream ends.
    control: Vec<u8>,
    /// The data message under way: cut off, or fragmented.
    message: Option<Message>,
    empty_fragments: usize,
    partial_since: Option<Instant>,
    is_over: bool,
}

/// The messages in one read, in order. Ends after a fault or a close frame.
/// What was not taken is lost unless fetched by [`Frames::into_rest`].
#[derive(Debug)]
pub struct Frames<'d, 'a> {
    decoder: &'d mut Decoder,
    rest: &'a mut [u8],
    now: Instant,
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new(limits: DecoderLimits) -> Self {
        Self {
            limits,
            head: [0; HEAD_BYTES],
            head_held: 0,
            frame: None,
            control: Vec::new(),
            message: None,
            empty_fragments: 0,
            partial_since: None,
            is_over: false,
        }
    }

    /// Reads what just arrived, in place: the bytes are unmasked and left
    /// scrambled. `now` only dates a message that stays incomplete.
    pub fn feed<'d, 'a>(&'d mut self, bytes: &'a mut [u8], now: Instant) -> Frames<'d, 'a> {
        Frames {
            decoder: self,
            rest: bytes,
            now,
        }
    }

    /// Since when a message (or a lone control frame) waits for its end.
    /// Control frames between fragments do not move it.
    #[must_use]
    pub fn partial_since(&self) -> Option<Instant> {
        self.partial_since
    }

    /// Heap memory held for what is incomplete, in bytes; 0 between messages.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, Message::capacity);
        message + self.control.capacity()
    }

    /// Whether a close frame or a fault has ended the stream.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

impl<'a> Frames<'_, 'a> {
    /// The bytes not looked at yet, untouched: feed them again later.
    #[must_use]
    pub fn into_rest(self) -> &'a mut [u8] {
        self.rest
    }
}

impl<'a> Iterator for Frames<'_, 'a> {
    type Item = Result<Incoming<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.decoder.next(&mut self.rest, self.now).transpose()
    }
}

/// A frame whose header was accepted.
#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: Opcode,
    is_final: bool,
    mask: [u8; 4],
    payload_bytes: usize,
    received_bytes: usize,
}

/// A data message that did not come in one piece.
#[derive(Debug)]
enum Message {
    Text(PartialText),
    Binary(Vec<u8>),
}

/// Text so far. `broken` holds the start of a character that was cut off: its
/// first `broken_held` bytes, which are valid so far.
#[derive(Debug, Default)]
struct PartialText {
    text: String,
    broken: [u8; 3],
    broken_held: usize,
}

impl Decoder {
    fn next<'a>(
        &mut self,
        rest: &mut &'a mut [u8],
        now: Instant,
    ) -> Result<Option<Incoming<'a>>, Fault> {
        while !self.is_over && !rest.is_empty() {
            match self.step(rest) {
                Ok(None) => {}
                Ok(Some(incoming)) => {
                    if self.message.is_none() {
                        self.partial_since = None;
                    }
                    return Ok(Some(incoming));
                }
                Err(fault) => {
                    self.end();
                    return Err(fault);
                }
            }
        }
        if self.head_held > 0 || self.frame.is_some() || self.message.is_some() {
            self.partial_since.get_or_insert(now);
        }
        Ok(None)
    }

    /// Takes one header or one stretch of payload, or both. Consumes at least
    /// one byte of `rest`, which is not empty.
    fn step<'a>(&mut self, rest: &mut &'a mut [u8]) -> Result<Option<Incoming<'a>>, Fault> {
        let frame = match self.frame.take() {
            Some(frame) => frame,
            None => match self.read_head(rest)? {
                Some(head) => self.admit(head)?,
                None => return Ok(None),
            },
        };
        let chunk = take(rest, frame.payload_bytes - frame.received_bytes);
        unmask(chunk, frame.mask, frame.received_bytes);
        if frame.opcode.is_control() {
            self.control_payload(frame, chunk)
        } else {
            self.data_payload(frame, chunk)
        }
    }

    fn read_head(&mut self, rest: &mut &mut [u8]) -> Result<Option<Head>, Fault> {
        if self.head_held == 0
            && let Some((head, head_bytes)) = Head::parse(rest)?
        {
            take(rest, head_bytes);
            return Ok(Some(head));
        }
        let held = self.head_held;
        let room = self.head.get_mut(held..).unwrap_or_default();
        let copied = room.len().min(rest.len());
        for (to, from) in room.iter_mut().zip(rest.iter()) {
            *to = *from;
        }
        let known = self.head.get(..held + copied).unwrap_or_default();
        if let Some((head, head_bytes)) = Head::parse(known)? {
            take(rest, head_bytes.saturating_sub(held));
            self.head_held = 0;
            return Ok(Some(head));
        }
        take(rest, copied);
        self.head_held = held + copied;
        Ok(None)
    }

    /// Judges a header by the message under way and by the limits, before any
    /// of its payload is kept.
    fn admit(&mut self, head: Head) -> Result<Frame, Fault> {
        let too_large = Fault::too_large("frame is too large");
        let payload_bytes = usize::try_from(head.payload_bytes).map_err(|_| too_large)?;
        if !head.opcode.is_control() {
            let continues = head.opcode == Opcode::Continuation;
            if continues && self.message.is_none() {
                return Err(Fault::protocol("continuation without a start"));
            }
            if !continues && self.message.is_some() {
                return Err(Fault::protocol("new message inside a fragmented one"));
            }
            if payload_bytes > self.limits.frame_bytes_max {
                return Err(too_large);
            }
            let joined_bytes = self.message.as_ref().map_or(0, Message::len) + payload_bytes;
            if joined_bytes > self.limits.message_bytes_max {
                return Err(Fault::too_large("message is too large"));
            }
            if payload_bytes == 0 && (continues || !head.is_final) {
                self.empty_fragments += 1;
                if self.empty_fragments > self.limits.empty_fragments_max {
                    return Err(Fault::policy("too many empty fragments"));
                }
            }
        }
        Ok(Frame {
            opcode: head.opcode,
            is_final: head.is_final,
            mask: head.mask,
            payload_bytes,
            received_bytes: 0,
        })
    }

    fn data_payload<'a>(
        &mut self,
        mut frame: Frame,
        chunk: &'a mut [u8],
    ) -> Result<Option<Incoming<'a>>, Fault> {
        frame.received_bytes += chunk.len();
        let is_complete = frame.received_bytes == frame.payload_bytes;
        if is_complete && frame.is_final && self.message.is_none() {
            // Nothing of it came before, so this chunk is the whole message.
            return match frame.opcode {
                Opcode::Text => std::str::from_utf8(chunk)
                    .map(|text| Some(Incoming::Text(Cow::Borrowed(text))))
                    .map_err(|_| Fault::not_utf8()),
                _ => Ok(Some(Incoming::Binary(Cow::Borrowed(chunk)))),
            };
        }
        let message = self.message.get_or_insert_with(|| match frame.opcode {
            Opcode::Text => Message::Text(PartialText::default()),
            _ => Message::Binary(Vec::new()),
        });
        message.push(chunk, self.limits.message_bytes_max)?;
        if !is_complete {
            self.frame = Some(frame);
            return Ok(None);
        }
        if !frame.is_final {
            return Ok(None);
        }
        self.empty_fragments = 0;
        self.message.take().map(Message::finish).transpose()
    }

    fn control_payload<'a>(
        &mut self,
        mut frame: Frame,
        chunk: &'a mut [u8],
    ) -> Result<Option<Incoming<'a>>, Fault> {
        let is_whole = chunk.len() == frame.payload_bytes;
        frame.received_bytes += chunk.len();
        let payload = if is_whole {
            Cow::Borrowed(&*chunk)
        } else {
            self.control.extend_from_slice(chunk);
            if frame.received_bytes < frame.payload_bytes {
                self.frame = Some(frame);
                return Ok(None);
            }
            Cow::Owned(mem::take(&mut self.control))
        };
        match frame.opcode {
            Opcode::Ping => Ok(Some(Incoming::Ping(payload))),
            Opcode::Pong => Ok(Some(Incoming::Pong)),
            _ => {
                let reason = CloseReason::parse(&payload)?;
                self.end();
                Ok(Some(Incoming::Close(reason)))
            }
        }
    }

    /// Nothing more is read; what was held is given back.
    fn end(&mut self) {
        self.is_over = true;
        self.head_held = 0;
        self.frame = None;
        self.message = None;
        self.partial_since = None;
    }
}

impl Message {
    fn len(&self) -> usize {
        match self {
            Self::Text(partial) => partial.text.len() + partial.broken_held,
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text(partial) => partial.text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    fn push(&mut self, chunk: &[u8], bytes_max: usize) -> Result<(), Fault> {
        match self {
            Self::Text(partial) => partial.push(chunk, bytes_max),
            Self::Binary(bytes) => {
                bytes.reserve_exact(growth(
                    bytes.len(),
                    bytes.capacity(),
                    chunk.len(),
                    bytes_max,
                ));
                bytes.extend_from_slice(chunk);
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<Incoming<'static>, Fault> {
        match self {
            Self::Text(partial) if partial.broken_held > 0 => Err(Fault::not_utf8()),
            Self::Text(partial) => Ok(Incoming::Text(Cow::Owned(partial.text))),
            Self::Binary(bytes) => Ok(Incoming::Binary(Cow::Owned(bytes))),
        }
    }
}

impl PartialText {
    /// Adds what is valid, holds back a character that is cut off, and fails
    /// at the first byte that no continuation can make valid.
    fn push(&mut self, chunk: &[u8], bytes_max: usize) -> Result<(), Fault> {
        let more = chunk.len() + self.broken_held;
        let text = &mut self.text;
        text.reserve_exact(growth(text.len(), text.capacity(), more, bytes_max));
        let mut chunk = chunk;
        while self.broken_held > 0 {
            let Some((byte, behind)) = chunk.split_first() else {
                return Ok(());
            };
            chunk = behind;
            self.mend(*byte)?;
        }
        match std::str::from_utf8(chunk) {
            Ok(valid) => self.text.push_str(valid),
            Err(_) => {
                let Some(stretch) = chunk.utf8_chunks().next() else {
                    return Ok(());
                };
                self.text.push_str(stretch.valid());
                for byte in chunk.iter().skip(stretch.valid().len()) {
                    self.mend(*byte)?;
                }
            }
        }
        Ok(())
    }

    /// Adds one byte to the character that is cut off.
    fn mend(&mut self, byte: u8) -> Result<(), Fault> {
        let [a, b, c] = self.broken;
        let held = self.broken_held;
        let mut character = [a, b, c, 0];
        let known = character.get_mut(..=held).ok_or(Fault::not_utf8())?;
        if let Some(last) = known.last_mut() {
            *last = byte;
        }
        match std::str::from_utf8(known) {
            Ok(valid) => {
                self.text.push_str(valid);
                self.broken_held = 0;
            }
            Err(broken) if broken.error_len().is_none() => {
                let [a, b, c, _] = character;
                self.broken = [a, b, c];
                self.broken_held = held + 1;
            }
            Err(_) => return Err(Fault::not_utf8()),
        }
        Ok(())
    }
}

impl CloseReason {
    fn parse(payload: &[u8]) -> Result<Option<Self>, Fault> {
        if payload.is_empty() {
            return Ok(None);
        }
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return Err(Fault::protocol("close frame with half a code"));
        };
        let code = u16::from_be_bytes(*code);
        if !is_close_code(code) {
            return Err(Fault::protocol("close code that may not be sent"));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Fault::not_utf8())?;
        Ok(Some(Self {
            code,
            reason: reason.to_owned(),
        }))
    }
}

/// Splits up to `count` bytes off the front.
fn take<'a>(rest: &mut &'a mut [u8], count: usize) -> &'a mut [u8] {
    let all = mem::take(rest);
    let count = count.min(all.len());
    let (front, back) = all.split_at_mut(count);
    *rest = back;
    front
}

/// How much to reserve for `more` bytes: doubling, but never past `bytes_max`
/// (which `len + more` respects, so that held memory is bounded by it).
fn growth(len: usize, capacity: usize, more: usize, bytes_max: usize) -> usize {
    let needed = len + more;
    if needed <= capacity {
        return 0;
    }
    needed.max(capacity.saturating_mul(2).min(bytes_max)) - len
}

#[cfg(test)]
mod tests;
