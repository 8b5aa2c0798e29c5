//! Runs: ready frames of consecutive entries in one piece of memory, so that
//! any stretch of them is one slice of one write.

use bytes::{Bytes, BytesMut};
use fanfare_protocol::limits::FRAME_HEAD_BYTES_MAX;

use super::format::Format;

/// A run keeps at most one part in so many of its bytes as spare capacity.
const SLACK_PART: usize = 8;

/// Ready frames of consecutive entries.
#[derive(Debug, Clone, Default)]
pub struct Run {
    first_seq: u64,
    bytes: Bytes,
    /// Where each frame ends.
    ends: Box<[u32]>,
}

/// Builds runs of bounded size out of payloads.
pub struct RunBuilder {
    format: Format,
    bytes_max: usize,
    first_seq: u64,
    bytes: BytesMut,
    ends: Vec<u32>,
    runs: Vec<Run>,
}

impl Run {
    /// Seq of the first frame.
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The seq behind the last frame.
    pub fn next_seq(&self) -> u64 {
        self.first_seq + self.ends.len() as u64
    }

    /// Bytes of all frames.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The frames `from..=to`, both within the run.
    pub(super) fn frames(&self, from: u64, to: u64) -> &[u8] {
        let (start, end) = (self.start_of(from), self.start_of(to + 1));
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Bytes of the frames `from..=to`.
    pub(super) fn frames_len(&self, from: u64, to: u64) -> usize {
        self.start_of(to + 1).saturating_sub(self.start_of(from))
    }

    /// Of the frames from `from` on `taken` bytes were written: the seq
    /// behind the last frame that was begun, and what is left of that one.
    pub(super) fn cut(&self, from: u64, taken: usize) -> (u64, Option<Bytes>) {
        let at = self.start_of(from) + taken;
        let whole = self.ends.partition_point(|end| *end as usize <= at);
        let next = self.first_seq + whole as u64;
        let start = self.start_of(next);
        if at <= start {
            return (next.max(from), None);
        }
        let rest = self.bytes.slice(at..self.start_of(next + 1));
        (next + 1, Some(rest))
    }

    /// Where the frame of `seq` begins; past the last, where the run ends.
    fn start_of(&self, seq: u64) -> usize {
        let place = usize::try_from(seq.saturating_sub(self.first_seq)).unwrap_or(usize::MAX);
        match place {
            0 => 0,
            place => self
                .ends
                .get(place - 1)
                .map_or(self.bytes.len(), |end| *end as usize),
        }
    }
}

impl RunBuilder {
    /// Runs from `first_seq` on, none longer than `bytes_max` unless a single
    /// frame is.
    pub fn new(format: Format, first_seq: u64, bytes_max: usize) -> Self {
        Self {
            format,
            // Ends are 32 bits wide; no frame is near that.
            bytes_max: bytes_max.min(u32::MAX as usize / 2),
            first_seq,
            bytes: BytesMut::new(),
            ends: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Adds the next entry's payload.
    pub fn push(&mut self, payload: &[u8]) {
        let frame_bytes_max = payload.len() + FRAME_HEAD_BYTES_MAX;
        if !self.ends.is_empty() && self.bytes.len() + frame_bytes_max > self.bytes_max {
            self.end_run();
        }
        self.bytes.reserve(frame_bytes_max);
        self.format.put(&mut self.bytes, payload);
        self.ends
            .push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    /// All of them, in order.
    pub fn finish(mut self) -> Vec<Run> {
        if !self.ends.is_empty() {
            self.end_run();
        }
        self.runs
    }

    fn end_run(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // What grew by doubling would keep up to as much again while nobody counts it.
        let is_loose = bytes.capacity() - bytes.len() > bytes.len() / SLACK_PART;
        let run = Run {
            first_seq: self.first_seq,
            bytes: match is_loose {
                true => Bytes::copy_from_slice(&bytes),
                false => bytes.freeze(),
            },
            ends: std::mem::take(&mut self.ends).into(),
        };
        self.first_seq = run.next_seq();
        self.runs.push(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(first_seq: u64, bytes_max: usize, payloads: &[&str]) -> Vec<Run> {
        let mut builder = RunBuilder::new(Format::Json, first_seq, bytes_max);
        for payload in payloads {
            builder.push(payload.as_bytes());
        }
        builder.finish()
    }

    #[test]
    fn any_stretch_is_one_slice() {
        let run = &runs(7, 1000, &["a", "bb", "ccc"])[0];
        assert_eq!((run.first_seq(), run.next_seq()), (7, 10));
        assert_eq!(run.frames(7, 7), b"\x81\x01a");
        assert_eq!(run.frames(8, 9), b"\x81\x02bb\x81\x03ccc");
        assert_eq!(run.frames_len(8, 9), 9);
        assert_eq!(run.frames(7, 9).len(), run.len());
    }

    #[test]
    fn a_cut_knows_what_was_begun() {
        let run = &runs(7, 1000, &["a", "bb", "ccc"])[0];
        // (from, bytes written) → (next seq, what is left of a frame)
        type Case = (u64, usize, u64, Option<&'static [u8]>);
        let table: [Case; 6] = [
            (7, 0, 7, None),
            (7, 3, 8, None),
            (7, 4, 9, Some(b"\x02bb")),
            (8, 4, 9, None),
            (8, 8, 10, Some(b"c")),
            (8, 9, 10, None),
        ];
        for (from, taken, next, rest) in table {
            let cut = run.cut(from, taken);
            assert_eq!((cut.0, cut.1.as_deref()), (next, rest), "{from} {taken}");
        }
    }

    #[test]
    fn a_run_keeps_hardly_more_memory_than_its_bytes() {
        let payload = "x".repeat(700);
        for count in [1, 3, 9, 100, 129] {
            let run = runs(1, usize::MAX, &vec![&*payload; count]).remove(0);
            let len = run.len();
            let capacity = run.bytes.try_into_mut().unwrap().capacity();
            assert!(capacity <= len + len / SLACK_PART, "{capacity} for {len}");
        }
    }

    #[test]
    fn runs_are_bounded_but_one_frame_always_fits() {
        let long = "x".repeat(100);
        let runs = runs(1, 40, &["aaaa", "bbbb", "cccc", &long, "dddd"]);
        let shape: Vec<_> = runs
            .iter()
            .map(|run| (run.first_seq(), run.next_seq()))
            .collect();
        assert_eq!(shape, [(1, 4), (4, 5), (5, 6)]);
    }
}
