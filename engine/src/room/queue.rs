//! Commands that wait, in order of arrival.

use std::collections::{HashMap, VecDeque};

use super::state::Needs;
use super::submit::Submission;

/// Commands that wait, and what was read for them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(Submission, Needs)>,
    /// How many of each session's.
    sessions: HashMap<u64, usize>,
}

impl Queue {
    /// Adds a command behind the others, and what must not be forgotten
    /// while it waits.
    pub fn push(&mut self, asked: Submission, needs: Needs) {
        if let Some(session) = session_of(&asked) {
            *self.sessions.entry(session).or_default() += 1;
        }
        self.waiting.push_back((asked, needs));
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
        session_of(asked).is_some_and(|session| self.sessions.contains_key(&session))
    }

    /// Sessions whose commands wait.
    pub fn sessions(&self) -> impl Iterator<Item = u64> {
        self.sessions.keys().copied()
    }
}

pub(super) fn session_of(asked: &Submission) -> Option<u64> {
    asked.order.map(|order| order.session)
}
