//! Commands that wait, in order of arrival.

use std::collections::{HashSet, VecDeque};

use super::state::Needs;
use super::submit::Submission;

/// Commands that wait, and what was read for them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(Submission, Needs)>,
    /// Whose they are.
    sessions: HashSet<u64>,
}

impl Queue {
    /// Adds a command behind the others, and what must not be forgotten
    /// while it waits.
    pub fn push(&mut self, asked: Submission, needs: Needs) {
        self.sessions.extend(session_of(&asked));
        self.waiting.push_back((asked, needs));
    }

    /// Adds a command before the others.
    pub fn push_front(&mut self, asked: Submission, needs: Needs) {
        self.sessions.extend(session_of(&asked));
        self.waiting.push_front((asked, needs));
    }

    /// Takes all of them.
    pub fn take(&mut self) -> VecDeque<(Submission, Needs)> {
        self.sessions.clear();
        std::mem::take(&mut self.waiting)
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &(Submission, Needs)> {
        self.waiting.iter()
    }

    /// Whether a command of the same session waits.
    pub fn holds_session_of(&self, asked: &Submission) -> bool {
        session_of(asked).is_some_and(|session| self.sessions.contains(&session))
    }

    /// Sessions whose commands wait.
    pub fn sessions(&self) -> impl Iterator<Item = u64> {
        self.sessions.iter().copied()
    }
}

pub(super) fn session_of(asked: &Submission) -> Option<u64> {
    asked.order.map(|order| order.session)
}
