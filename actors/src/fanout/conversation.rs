//! A conversation in one format as one shard knows it: head, frames held,
//! subscribers. A row that nobody lags behind is small.

use std::sync::Arc;

use super::format::Feed;
use super::ring::Held;
use super::run::Run;

/// One followed conversation in one format.
#[derive(Debug)]
pub(super) struct Row {
    pub feed: Feed,
    /// Newest seq known.
    pub head: u64,
    /// Number of the newest hold.
    pub hold: u64,
    /// Subscriptions, in no order.
    pub subscribers: Vec<Place>,
    /// How many of those that were looked at have not had everything.
    pub behind: u32,
    /// Of a large row: where the pass stands that looks at everybody, and how
    /// many it has yet to see.
    pub pass: Pass,
    /// Frames; `None` when nobody needs any.
    pub held: Option<Box<Held>>,
}

/// A subscription's place: its socket, and which of that socket's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub socket: u32,
    pub slot: u32,
}

/// A pass over a large row's subscribers, around in a circle: whoever comes
/// into it last is behind whoever was seen last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pass {
    pub next: u32,
    pub left: u32,
    /// The next one begins soon.
    pub waits: bool,
    /// When the newest pass began, in monotonic milliseconds.
    pub began_ms: u64,
}

impl Row {
    /// A conversation of which everything up to `head` is known.
    pub fn at(feed: Feed, head: u64) -> Self {
        Self {
            feed,
            head,
            hold: 0,
            subscribers: Vec::new(),
            behind: 0,
            pass: Pass::default(),
            held: None,
        }
    }

    /// Takes new frames behind the head; returns bytes added less dropped.
    /// A gap empties the ring: who lags reads pages.
    pub fn extend(&mut self, run: &Arc<Run>, bytes_max: usize) -> isize {
        if run.next_seq() <= self.head + 1 {
            return 0;
        }
        let from = run.first_seq().max(self.head + 1);
        self.head = run.next_seq() - 1;
        self.held
            .get_or_insert_default()
            .extend(run, from, bytes_max)
    }

    /// The run with the ready frame of a seq.
    pub fn run(&self, seq: u64) -> Option<&Arc<Run>> {
        let held = self.held.as_ref()?;
        held.run(seq).or_else(|| held.page(seq))
    }

    /// Whom the pass looks at next.
    pub fn next_in_pass(&mut self) -> Option<Place> {
        self.pass.left = self.pass.left.checked_sub(1)?;
        let place = self.subscribers.get(self.pass.next as usize).copied();
        let next = self.pass.next as usize + 1;
        self.pass.next = if next < self.subscribers.len() {
            self.pass.next + 1
        } else {
            0
        };
        place
    }

    /// Empties the ring when nobody is behind; returns the bytes dropped.
    pub fn settle(&mut self) -> usize {
        if self.behind > 0 || self.pass.left > 0 || self.pass.waits {
            return 0;
        }
        self.held.as_mut().map_or(0, |held| held.clear_ring())
    }

    /// Gives back what holds nothing.
    pub fn take_empty(&mut self) -> Option<Box<Held>> {
        if self.held.as_ref().is_some_and(|held| held.is_empty()) {
            self.held.take()
        } else {
            None
        }
    }

    /// Bytes held in ring and pages.
    pub fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.bytes())
    }

    /// Forgets every frame of these seqs; returns the bytes dropped.
    pub fn evict(&mut self, seqs: &[u64]) -> usize {
        self.held.as_mut().map_or(0, |held| held.evict(seqs))
    }

    /// Adds a subscription; returns its place in the list.
    pub fn add(&mut self, place: Place) -> u32 {
        if self.subscribers.len() == self.subscribers.capacity() {
            // Most conversations are small, and doubling would show.
            let more = (self.subscribers.len() / 2).max(2);
            self.subscribers.reserve_exact(more);
        }
        self.subscribers.push(place);
        u32::try_from(self.subscribers.len() - 1).unwrap_or(u32::MAX)
    }

    /// Takes a subscription out of the list; returns the one that moved into
    /// its place, and whether a pass may now miss that one.
    pub fn remove(&mut self, at: u32) -> Option<(Place, bool)> {
        self.subscribers.swap_remove(at as usize);
        let members = u32::try_from(self.subscribers.len()).unwrap_or(u32::MAX);
        self.pass.left = self.pass.left.min(members);
        if self.pass.next >= members {
            self.pass.next = 0;
        }
        let moved = self.subscribers.get(at as usize).copied()?;
        Some((moved, self.pass.left > 0 || self.pass.waits))
    }
}

#[cfg(test)]
mod tests {
    use fanfare_protocol::ConversationId;

    use super::super::format::Format;
    use super::super::ring::page_of;
    use super::super::run::RunBuilder;
    use super::*;

    fn row(head: u64) -> Row {
        let feed = Feed {
            conversation: ConversationId(uuid::Uuid::from_u128(1)),
            format: Format::Json,
        };
        Row::at(feed, head)
    }

    fn run(first_seq: u64, texts: &[&str]) -> Arc<Run> {
        let mut builder = RunBuilder::new(Format::Json, first_seq, 1 << 20);
        texts.iter().for_each(|text| builder.push(text.as_bytes()));
        Arc::new(builder.finish().remove(0))
    }

    /// The text of one frame.
    fn text(row: &Row, seq: u64) -> Option<String> {
        let frame = row.run(seq)?.frames(seq, seq);
        Some(String::from_utf8_lossy(&frame[2..]).into_owned())
    }

    #[test]
    fn the_ring_holds_the_newest_that_fit() {
        let mut row = row(0);
        row.behind = 1;
        for (seq, one) in ["aa", "bb", "cc"].iter().enumerate() {
            row.extend(&run(seq as u64 + 1, &[one]), 8);
        }
        assert_eq!(row.head, 3);
        assert_eq!(text(&row, 1), None);
        assert_eq!(text(&row, 2).as_deref(), Some("bb"));
        row.extend(&run(4, &["a long one"]), 8);
        assert_eq!(text(&row, 4).as_deref(), Some("a long one"));
        assert_eq!((text(&row, 3), text(&row, 5)), (None, None));
        assert_eq!(row.settle(), 0);
        row.behind = 0;
        assert_eq!(row.settle(), 12);
        assert_eq!(text(&row, 4), None);
        assert!(row.take_empty().is_some());
    }

    #[test]
    fn repeats_are_skipped_and_gaps_empty_the_ring() {
        let mut row = row(0);
        row.behind = 1;
        row.extend(&run(1, &["a", "b"]), 100);
        row.extend(&run(2, &["x", "c"]), 100);
        assert_eq!(row.extend(&run(1, &["x", "x"]), 100), 0);
        assert_eq!(text(&row, 2).as_deref(), Some("b"));
        assert_eq!(text(&row, 3).as_deref(), Some("c"));
        row.extend(&run(9, &["i"]), 100);
        assert_eq!((row.head, text(&row, 3)), (9, None));
        assert_eq!(text(&row, 9).as_deref(), Some("i"));
        // A head that came without frames is a gap too.
        row.head = 11;
        row.extend(&run(9, &["i", "j", "k", "l"]), 100);
        assert_eq!((text(&row, 9), text(&row, 11)), (None, None));
        assert_eq!(text(&row, 12).as_deref(), Some("l"));
        row.evict(&[12]);
        row.extend(&run(13, &["m"]), 100);
        assert_eq!(text(&row, 13).as_deref(), Some("m"));
        assert_eq!(row.held_bytes(), 3);
    }

    #[test]
    fn a_deletion_takes_frames_out_of_ring_and_pages() {
        let mut row = row(130);
        row.extend(&run(131, &["c", "d", "e"]), 100);
        let held = row.held.as_mut().unwrap();
        held.keep_page(page_of(1), run(1, &["a", "b"]));
        assert_eq!(text(&row, 2).as_deref(), Some("b"));
        assert_eq!(row.evict(&[2, 132]), 6 + 6);
        assert_eq!(
            (text(&row, 1), text(&row, 131), text(&row, 132)),
            (None, None, None)
        );
        assert_eq!(text(&row, 133).as_deref(), Some("e"));
        assert_eq!(row.evict(&[133]), 3);
        assert_eq!(row.held_bytes(), 0);
    }
}
