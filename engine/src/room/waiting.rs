//! Commands without an answer, in order of arrival: how long the oldest waits.

use std::collections::{HashSet, VecDeque};

use super::machine::{Now, Output};

/// See the module. Bounded by `room_waiting_max`.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// When each came, in milliseconds of [`Now`], and its ticket.
    came: VecDeque<(u64, u64)>,
    /// Those among them that were answered before an older one.
    answered: HashSet<u64>,
}

impl Waiting {
    /// A command came.
    pub fn comes(&mut self, ticket: u64, now: Now) {
        self.came.push_back((now.ms, ticket));
    }

    /// Some of what waited is answered or handed back.
    pub fn leave(&mut self, out: &[Output]) {
        for output in out {
            if let Output::Answer(ticket, _) | Output::HandBack(ticket) = output {
                self.answered.insert(*ticket);
            }
        }
        while let Some((_, ticket)) = self.came.front()
            && self.answered.remove(ticket)
        {
            self.came.pop_front();
        }
    }

    /// When the one came that waits longest.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.came.front().map(|(came_ms, _)| *came_ms)
    }
}
