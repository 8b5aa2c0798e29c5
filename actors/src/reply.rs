//! Reply handles: how an answer finds its way back to whoever asked.

use fanfare_engine::room::Accepted;
use fanfare_protocol::Refusal;

/// What a room says to a command.
#[derive(Debug)]
pub enum Answered {
    /// Durably accepted, or refused.
    Settled(Result<Accepted, Refusal>),
    /// Given back undecided: send it again, in order.
    HandedBack,
}

/// A handle that is answered exactly once: one dropped unanswered (its room
/// died with it) answers `outcome_unknown`.
pub struct Reply(Option<Box<dyn FnOnce(Answered) + Send>>);

impl Reply {
    /// A handle that calls `answer`.
    pub fn new(answer: impl FnOnce(Answered) + Send + 'static) -> Self {
        Self(Some(Box::new(answer)))
    }

    /// Answers.
    pub fn settle(mut self, result: Result<Accepted, Refusal>) {
        if let Some(answer) = self.0.take() {
            answer(Answered::Settled(result));
        }
    }

    /// Gives the command back.
    pub fn hand_back(mut self) {
        if let Some(answer) = self.0.take() {
            answer(Answered::HandedBack);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer(Answered::Settled(Err(Refusal::outcome_unknown())));
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply")
    }
}
