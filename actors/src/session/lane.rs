//! A lane: the commands of one session to one conversation, from the first
//! not yet answered on. They reach the room in order: one that is still
//! being prepared holds back those behind it, one that was handed back is
//! sent again before them.

use std::collections::VecDeque;

use fanfare_engine::room::{Order, Submission};
use fanfare_protocol::Refusal;
use fanfare_protocol::frame::FrameId;

use crate::gateway::Permit;

/// A command that waits for its answer.
pub(super) struct Pending {
    /// Its number in this session and conversation, from 1.
    pub number: u64,
    /// Whom to answer; absent: only failures are told.
    pub re: Option<FrameId>,
    /// Its idempotency key.
    pub key: Option<String>,
    /// What the answer says beyond what the room tells.
    pub kind: Answering,
    pub stage: Stage,
    pub permit: Permit,
}

/// What an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answering {
    /// What the room says.
    Room,
    /// The conversation that was joined.
    Joined,
}

/// Where a command is.
pub(super) enum Stage {
    /// What it names is being looked up.
    Preparing,
    /// To be sent.
    Ready(Box<Submission>),
    /// With the room; kept for a hand-back.
    Sent(Box<Submission>),
}

/// See the module.
#[derive(Default)]
pub(super) struct Lane {
    numbers: u64,
    queue: VecDeque<Pending>,
}

impl Lane {
    /// Adds a command; gives its number.
    pub fn push(
        &mut self,
        re: Option<FrameId>,
        key: Option<String>,
        kind: Answering,
        prepared: Option<Submission>,
        permit: Permit,
    ) -> u64 {
        self.numbers += 1;
        let stage = prepared.map_or(Stage::Preparing, |it| Stage::Ready(Box::new(it)));
        self.queue.push_back(Pending {
            number: self.numbers,
            re,
            key,
            kind,
            stage,
            permit,
        });
        self.numbers
    }

    /// A command is prepared, or refused on the way.
    pub fn prepared(
        &mut self,
        number: u64,
        result: Result<Submission, Refusal>,
    ) -> Option<(Pending, Refusal)> {
        match result {
            Ok(submission) => {
                if let Some(pending) = self.find(number) {
                    pending.stage = Stage::Ready(Box::new(submission));
                }
                None
            }
            Err(refusal) => self.take(number).map(|pending| (pending, refusal)),
        }
    }

    /// A command came back undecided.
    pub fn handed_back(&mut self, number: u64) {
        if let Some(pending) = self.find(number) {
            let stage = std::mem::replace(&mut pending.stage, Stage::Preparing);
            pending.stage = match stage {
                Stage::Sent(submission) | Stage::Ready(submission) => Stage::Ready(submission),
                Stage::Preparing => Stage::Preparing,
            };
        }
    }

    /// Takes an answered command out.
    pub fn take(&mut self, number: u64) -> Option<Pending> {
        let at = self
            .queue
            .iter()
            .position(|pending| pending.number == number)?;
        self.queue.remove(at)
    }

    /// What may go to the room now, in order: everything ready in front of
    /// the first that is not. `session` names the connection.
    pub fn sendable(&mut self, session: u64) -> Vec<Submission> {
        let Some(oldest) = self.queue.front().map(|pending| pending.number) else {
            return Vec::new();
        };
        let mut sendable = Vec::new();
        for pending in &mut self.queue {
            match std::mem::replace(&mut pending.stage, Stage::Preparing) {
                Stage::Preparing => break,
                Stage::Sent(submission) => pending.stage = Stage::Sent(submission),
                Stage::Ready(mut submission) => {
                    submission.order = Some(Order {
                        session,
                        number: pending.number,
                        oldest,
                    });
                    sendable.push((*submission).clone());
                    pending.stage = Stage::Sent(submission);
                }
            }
        }
        sendable
    }

    /// Whether everything is answered.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn find(&mut self, number: u64) -> Option<&mut Pending> {
        self.queue
            .iter_mut()
            .find(|pending| pending.number == number)
    }
}
