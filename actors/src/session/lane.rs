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
    /// Its name in this lane.
    pub number: u64,
    /// Its place among what was sent to the room, from 1: what is refused
    /// on the way leaves no hole.
    place: Option<u64>,
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
    places: u64,
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
            place: None,
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

    /// What may go to the room now, by name and in order: everything ready
    /// in front of the first that is not. `session` names the connection.
    pub fn sendable(&mut self, session: u64) -> Vec<(u64, Submission)> {
        let mut sendable = Vec::new();
        let mut oldest = None;
        for pending in &mut self.queue {
            match std::mem::replace(&mut pending.stage, Stage::Preparing) {
                Stage::Preparing => break,
                Stage::Sent(submission) => {
                    oldest = oldest.or(pending.place);
                    pending.stage = Stage::Sent(submission);
                }
                Stage::Ready(mut submission) => {
                    let place = *pending.place.get_or_insert_with(|| {
                        self.places += 1;
                        self.places
                    });
                    submission.order = Some(Order {
                        session,
                        number: place,
                        oldest: *oldest.get_or_insert(place),
                    });
                    sendable.push((pending.number, (*submission).clone()));
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

#[cfg(test)]
mod tests {
    use fanfare_engine::room::Resolved;
    use fanfare_engine::secret::Fingerprint;
    use fanfare_protocol::UserId;
    use fanfare_protocol::command::Command;

    use super::*;

    fn submission() -> Submission {
        Submission {
            ticket: 0,
            caller: UserId::from_bytes([1; 16]),
            command: Command::Join,
            key: None,
            key_print: None,
            request: Fingerprint([0; 16]),
            resolved: Resolved::default(),
            order: None,
        }
    }

    fn push(lane: &mut Lane, prepared: Option<Submission>) -> u64 {
        lane.push(None, None, Answering::Room, prepared, Permit::weightless())
    }

    /// Name, place, oldest place.
    fn sent(lane: &mut Lane) -> Vec<(u64, u64, u64)> {
        let sendable = lane.sendable(9).into_iter();
        let order = |submission: Submission| submission.order.unwrap();
        sendable
            .map(|(name, it)| (name, order(it.clone()).number, order(it).oldest))
            .collect()
    }

    #[test]
    fn a_command_refused_on_its_way_leaves_no_hole_in_the_order() {
        let mut lane = Lane::default();
        let first = push(&mut lane, Some(submission()));
        let refused = push(&mut lane, None);
        let last = push(&mut lane, Some(submission()));
        assert_eq!(sent(&mut lane), [(first, 1, 1)]);
        assert!(
            lane.prepared(refused, Err(Refusal::unavailable("no")))
                .is_some()
        );
        assert_eq!(sent(&mut lane), [(last, 2, 1)]);
        // Given back, it keeps its place.
        assert!(lane.take(first).is_some());
        lane.handed_back(last);
        assert_eq!(sent(&mut lane), [(last, 2, 2)]);
    }

    #[test]
    fn what_is_being_prepared_holds_back_what_is_behind_it() {
        let mut lane = Lane::default();
        let slow = push(&mut lane, None);
        let quick = push(&mut lane, Some(submission()));
        assert_eq!(sent(&mut lane), []);
        assert!(lane.prepared(slow, Ok(submission())).is_none());
        assert_eq!(sent(&mut lane), [(slow, 1, 1), (quick, 2, 1)]);
    }
}
