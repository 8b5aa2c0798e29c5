//! A conversation as one shard knows it: head, ring, pages, subscribers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use fanfare_protocol::limits::PAGE_SEQS;

/// One followed conversation.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// Newest seq known.
    pub head: u64,
    /// Number of the newest hold.
    pub hold: u64,
    /// Sockets with a subscription.
    pub subscribers: HashSet<u64>,
    /// How many of them have not had everything up to `head`.
    pub behind: usize,
    ring: VecDeque<Bytes>,
    ring_first: u64,
    ring_bytes: usize,
    pages: HashMap<u64, Arc<Vec<Bytes>>>,
    waiting: HashMap<u64, HashSet<u64>>,
}

/// The page of a seq: 64 aligned seqs, from 0.
pub(super) fn page_of(seq: u64) -> u64 {
    seq.saturating_sub(1) / PAGE_SEQS
}

impl Row {
    /// A conversation of which everything up to `head` is known.
    pub fn at(head: u64) -> Self {
        Self {
            head,
            ..Self::default()
        }
    }

    /// Takes new frames behind the head; returns bytes added less dropped.
    /// A gap empties the ring: who lags reads pages.
    pub fn extend(&mut self, first_seq: u64, frames: &[Bytes], bytes_max: usize) -> isize {
        let before = self.ring_bytes;
        let known = (self.head + 1).saturating_sub(first_seq);
        let skip = usize::try_from(known).unwrap_or(usize::MAX);
        if first_seq > self.head + 1 {
            self.clear_ring();
        }
        for (place, frame) in frames.iter().enumerate().skip(skip) {
            let seq = first_seq + place as u64;
            if self.ring.is_empty() {
                self.ring_first = seq;
            }
            self.ring_bytes += frame.len();
            self.ring.push_back(frame.clone());
            self.head = seq;
            // One frame of any size fits an empty ring.
            while self.ring_bytes > bytes_max && self.ring.len() > 1 {
                self.drop_oldest();
            }
        }
        signed(self.ring_bytes) - signed(before)
    }

    /// The ready frame of a seq, from ring or page.
    pub fn frame(&self, seq: u64) -> Option<Bytes> {
        if let Some(place) = seq.checked_sub(self.ring_first)
            && let Some(frame) = self.ring.get(usize::try_from(place).ok()?)
        {
            return Some(frame.clone());
        }
        let place = (seq.checked_sub(1)? % PAGE_SEQS) as usize;
        self.pages.get(&page_of(seq))?.get(place).cloned()
    }

    /// Notes that a socket waits for a page; `true` when the page must be
    /// asked for.
    pub fn wait_for(&mut self, page: u64, socket: u64) -> bool {
        let waiting = self.waiting.entry(page).or_default();
        let first = waiting.is_empty();
        waiting.insert(socket);
        first
    }

    /// A page arrived: who waited for it, and the bytes it adds.
    pub fn take_page(&mut self, page: u64, frames: Arc<Vec<Bytes>>) -> (HashSet<u64>, isize) {
        let added: usize = frames.iter().map(Bytes::len).sum();
        let old = self.pages.insert(page, frames);
        let dropped: usize = old.iter().flat_map(|old| old.iter()).map(Bytes::len).sum();
        let waited = self.waiting.remove(&page).unwrap_or_default();
        (waited, signed(added) - signed(dropped))
    }

    /// A page could not be had: who waited for it.
    pub fn fail_page(&mut self, page: u64) -> HashSet<u64> {
        self.waiting.remove(&page).unwrap_or_default()
    }

    /// Nobody is going to bring what was asked for: who waited for it.
    pub fn fail_pages(&mut self) -> HashSet<u64> {
        self.waiting
            .drain()
            .flat_map(|(_, waited)| waited)
            .collect()
    }

    /// Whether a page is held.
    pub fn has_page(&self, page: u64) -> bool {
        self.pages.contains_key(&page)
    }

    /// Forgets a page; returns the bytes it had.
    pub fn drop_page(&mut self, page: u64) -> usize {
        let old = self.pages.remove(&page);
        old.iter().flat_map(|old| old.iter()).map(Bytes::len).sum()
    }

    /// Forgets every frame of these seqs; returns the bytes dropped.
    pub fn evict(&mut self, seqs: &[u64]) -> usize {
        let mut dropped = 0;
        for seq in seqs {
            dropped += self.drop_page(page_of(*seq));
            while self.ring_first <= *seq && !self.ring.is_empty() {
                dropped += self.drop_oldest();
            }
        }
        dropped
    }

    /// Empties the ring when nobody is behind; returns the bytes dropped.
    pub fn settle(&mut self) -> usize {
        if self.behind > 0 {
            return 0;
        }
        self.clear_ring()
    }

    /// Bytes held in ring and pages.
    pub fn held_bytes(&self) -> usize {
        let pages = self.pages.values().flat_map(|page| page.iter());
        self.ring_bytes + pages.map(Bytes::len).sum::<usize>()
    }

    fn clear_ring(&mut self) -> usize {
        self.ring.clear();
        self.ring.shrink_to_fit();
        std::mem::take(&mut self.ring_bytes)
    }

    fn drop_oldest(&mut self) -> usize {
        let Some(frame) = self.ring.pop_front() else {
            return 0;
        };
        self.ring_first += 1;
        self.ring_bytes -= frame.len();
        frame.len()
    }
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(texts: &[&'static str]) -> Vec<Bytes> {
        texts
            .iter()
            .map(|text| Bytes::from_static(text.as_bytes()))
            .collect()
    }

    #[test]
    fn the_ring_holds_the_newest_that_fit() {
        let mut row = Row {
            behind: 1,
            ..Row::default()
        };
        row.extend(1, &frames(&["aa", "bb", "cc"]), 4);
        assert_eq!(row.head, 3);
        assert_eq!(row.frame(1), None);
        assert_eq!(row.frame(2).as_deref(), Some(&b"bb"[..]));
        row.extend(4, &frames(&["a long one"]), 4);
        assert_eq!(row.frame(4).as_deref(), Some(&b"a long one"[..]));
        assert_eq!(row.settle(), 0);
        row.behind = 0;
        assert_eq!(row.settle(), 10);
        assert_eq!(row.frame(4), None);
    }

    #[test]
    fn repeats_are_skipped_and_gaps_empty_the_ring() {
        let mut row = Row {
            behind: 1,
            ..Row::default()
        };
        row.extend(1, &frames(&["a", "b"]), 100);
        row.extend(2, &frames(&["x", "c"]), 100);
        assert_eq!(row.frame(2).as_deref(), Some(&b"b"[..]));
        assert_eq!(row.frame(3).as_deref(), Some(&b"c"[..]));
        row.extend(9, &frames(&["i"]), 100);
        assert_eq!((row.head, row.frame(3)), (9, None));
        assert_eq!(row.frame(9).as_deref(), Some(&b"i"[..]));
    }

    #[test]
    fn a_deletion_takes_frames_out_of_ring_and_pages() {
        let mut row = Row {
            head: 130,
            ..Row::default()
        };
        row.take_page(0, Arc::new(frames(&["a", "b"])));
        row.extend(131, &frames(&["c", "d"]), 100);
        row.evict(&[2, 131]);
        assert_eq!(row.frame(1), None);
        assert_eq!(row.frame(131), None);
        assert_eq!(row.frame(132).as_deref(), Some(&b"d"[..]));
    }
}
