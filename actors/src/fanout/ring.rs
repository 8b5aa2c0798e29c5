//! What a shard holds of a conversation's frames: the ring of the newest,
//! pages behind it, and who waits for which page.

use std::collections::VecDeque;
use std::sync::Arc;

use fanfare_protocol::limits::PAGE_SEQS;

use super::run::Run;

/// Ring, pages and waiting sockets of one row; there only while somebody is
/// behind.
#[derive(Debug, Default)]
pub(super) struct Held {
    ring: VecDeque<Part>,
    ring_bytes: usize,
    pages: Vec<(u64, Arc<Run>)>,
    /// Page and the sockets that need it.
    waiting: Vec<(u64, Vec<u32>)>,
}

/// A run with what of it counts.
#[derive(Debug)]
struct Part {
    run: Arc<Run>,
    from: u64,
}

impl Part {
    fn len(&self) -> usize {
        self.run.frames_len(self.from, self.run.next_seq() - 1)
    }
}

/// The page of a seq: 64 aligned seqs, from 0.
pub(super) fn page_of(seq: u64) -> u64 {
    seq.saturating_sub(1) / PAGE_SEQS
}

impl Held {
    /// Puts a run's frames from `from` on behind the ring's; returns bytes
    /// added less dropped. One run of any size fits an empty ring, and what
    /// does not follow its newest empties it.
    pub fn extend(&mut self, run: &Arc<Run>, from: u64, bytes_max: usize) -> isize {
        let before = self.ring_bytes;
        if self
            .ring
            .back()
            .is_some_and(|newest| newest.run.next_seq() != from)
        {
            self.clear_ring();
        }
        let part = Part {
            run: Arc::clone(run),
            from,
        };
        self.ring_bytes += part.len();
        self.ring.push_back(part);
        while self.ring_bytes > bytes_max && self.ring.len() > 1 {
            self.drop_oldest();
        }
        signed(self.ring_bytes) - signed(before)
    }

    /// The run with the ready frame of a seq, from ring or page.
    pub fn run(&self, seq: u64) -> Option<&Arc<Run>> {
        let newest = self.ring.back()?;
        if seq >= newest.from {
            return (seq < newest.run.next_seq()).then_some(&newest.run);
        }
        let behind = self.ring.partition_point(|part| part.from <= seq);
        behind.checked_sub(1).map(|at| &self.ring[at].run)
    }

    /// The page with the ready frame of a seq.
    pub fn page(&self, seq: u64) -> Option<&Arc<Run>> {
        let page = page_of(seq);
        let run = &self.pages.iter().find(|(known, _)| *known == page)?.1;
        (run.first_seq()..run.next_seq())
            .contains(&seq)
            .then_some(run)
    }

    /// Notes that a socket waits for a page; `true` when the page must be
    /// asked for.
    pub fn wait_for(&mut self, page: u64, socket: u32) -> bool {
        match self.waiting.iter_mut().find(|(known, _)| *known == page) {
            Some((_, sockets)) => {
                sockets.push(socket);
                false
            }
            None => {
                self.waiting.push((page, vec![socket]));
                true
            }
        }
    }

    /// A page is there or cannot be had: who waited for it.
    pub fn waited(&mut self, page: u64) -> Vec<u32> {
        let at = self.waiting.iter().position(|(known, _)| *known == page);
        at.map(|at| self.waiting.swap_remove(at).1)
            .unwrap_or_default()
    }

    /// Nobody is going to bring what was asked for: who waited for it.
    pub fn all_waited(&mut self) -> Vec<u32> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .flat_map(|(_, sockets)| sockets)
            .collect()
    }

    /// Keeps a page; returns bytes added less dropped.
    pub fn keep_page(&mut self, page: u64, run: Arc<Run>) -> isize {
        let dropped = self.drop_page(page);
        let added = run.len();
        self.pages.push((page, run));
        signed(added) - signed(dropped)
    }

    /// Whether a page is held.
    pub fn has_page(&self, page: u64) -> bool {
        self.pages.iter().any(|(known, _)| *known == page)
    }

    /// Forgets a page; returns the bytes it had.
    pub fn drop_page(&mut self, page: u64) -> usize {
        let at = self.pages.iter().position(|(known, _)| *known == page);
        at.map_or(0, |at| self.pages.swap_remove(at).1.len())
    }

    /// Forgets every frame of these seqs, and those before them in the ring;
    /// returns the bytes dropped.
    pub fn evict(&mut self, seqs: &[u64]) -> usize {
        let mut dropped = 0;
        for seq in seqs {
            dropped += self.drop_page(page_of(*seq));
            while self
                .ring
                .front()
                .is_some_and(|part| part.run.next_seq() <= seq + 1)
            {
                dropped += self.drop_oldest();
            }
            if let Some(oldest) = self.ring.front_mut().filter(|part| part.from <= *seq) {
                let bytes = oldest.run.frames_len(oldest.from, *seq);
                oldest.from = seq + 1;
                self.ring_bytes -= bytes;
                dropped += bytes;
            }
        }
        dropped
    }

    /// Empties the ring; returns the bytes dropped.
    pub fn clear_ring(&mut self) -> usize {
        self.ring.clear();
        std::mem::take(&mut self.ring_bytes)
    }

    /// Bytes held in ring and pages.
    pub fn bytes(&self) -> usize {
        self.ring_bytes + self.pages.iter().map(|(_, run)| run.len()).sum::<usize>()
    }

    /// Nothing is held and nobody waits.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty() && self.pages.is_empty() && self.waiting.is_empty()
    }

    fn drop_oldest(&mut self) -> usize {
        let dropped = self.ring.pop_front().map_or(0, |part| part.len());
        self.ring_bytes -= dropped;
        dropped
    }
}

pub(super) fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}
