//! The order in which things happen to one conversation.
//!
//! On arrival a command is decided and applied to the *tentative* state,
//! which assigns its seq; entries gather; one append is in flight; when its
//! rows and then its effects are durable, it is published and answered.
//!
//! **Invariant:** nothing decided on tentative state leaves before it is
//! durable: acceptances, refusals and repeats wait for the entry before them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use fanfare_protocol::{Limits, Refusal, Timestamp, UserId};

use super::arrive::Orders;
use super::flight::{Batch, Gathered, InFlight, Outcome, Published};
use super::gather::Gathers;
use super::queue::Queue;
use super::read::Reading;
use super::state::{Needs, RoomState};
use super::submit::{Accepted, Done, Submission};
use crate::effect::Effects;
use crate::member::MemberRow;
use crate::row::{HeadRow, LogRow};

/// The time, as the caller sees it.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Wall clock, for people.
    pub at: Timestamp,
    /// Monotonic milliseconds, for waiting.
    pub ms: u64,
}

/// What happens to a room.
#[derive(Debug)]
pub enum Input {
    /// A command arrived.
    Submit(Box<Submission>),
    /// The state was loaded (and the conversation activated), or not.
    Loaded(Option<Box<RoomState>>),
    /// What [`Output::Read`] asked for.
    Read {
        /// Memberships.
        members: Vec<(UserId, Option<MemberRow>)>,
        /// Rows.
        rows: Vec<LogRow>,
    },
    /// It could not be read.
    ReadFailed,
    /// The append in flight returned.
    Appended(Outcome),
    /// Its effects returned.
    Applied(Outcome),
    /// Time passed.
    Time,
}

/// What a room wants done.
#[derive(Debug)]
pub enum Output {
    /// Load the state, then [`Input::Loaded`].
    Load,
    /// Read, then [`Input::Read`].
    Read(Needs),
    /// Append, then [`Input::Appended`].
    Append(Batch),
    /// Write effects, then [`Input::Applied`].
    Apply(Arc<Effects>),
    /// Tell everybody who follows.
    Publish(Published),
    /// Write the head row some time.
    PutHead(HeadRow),
    /// Answer the sender.
    Answer(u64, Result<Accepted, Refusal>),
    /// Give the command back undecided: the sender repeats it in order.
    HandBack(u64),
}

/// One conversation's room.
#[derive(Debug)]
pub struct Room {
    pub(super) epoch: u64,
    pub(super) limits: Arc<Limits>,
    /// Tentative: with everything decided, durable or not.
    pub(super) state: RoomState,
    pub(super) phase: Phase,
    /// Commands that wait for loading or reading, in order of arrival.
    pub(super) parked: Queue,
    pub(super) reading: Reading,
    /// To be read next.
    pub(super) wanted: Needs,
    pub(super) gathers: Gathers,
    pub(super) gathered: VecDeque<Gathered>,
    pub(super) in_flight: Option<InFlight>,
    pub(super) answers: VecDeque<Answer>,
    /// The newest entry that is published, with `clean` 0.
    pub(super) durable: HeadRow,
    /// Active members as of then, when all are held.
    pub(super) members: Option<BTreeSet<UserId>>,
    pub(super) head_put_ms: u64,
    pub(super) orders: Orders,
    /// Keys forgotten before their promised time, for a metric.
    pub keys_forgotten_early: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Loading,
    Serving,
    /// An outcome is unknown for too long: refuse until it is known.
    Stalled,
    /// Hands everything back.
    Closing,
}

/// An answer that waits for the entry before it.
#[derive(Debug)]
pub(super) struct Answer {
    pub after: u64,
    pub ticket: u64,
    pub session: Option<u64>,
    pub result: Result<Done, Refusal>,
    pub repeated: bool,
    /// First and last seq of the entries that made it so; 0 for refusals.
    pub first: u64,
    pub seq: u64,
}

impl Room {
    /// A room that is about to load; do the returned [`Output::Load`].
    pub fn new(
        conversation: fanfare_protocol::ConversationId,
        epoch: u64,
        limits: Arc<Limits>,
    ) -> (Self, Output) {
        let state = RoomState::new(conversation);
        let room = Self {
            epoch,
            limits,
            durable: state.head_row(),
            state,
            phase: Phase::Loading,
            parked: Queue::default(),
            reading: Reading::Nothing,
            wanted: Needs::default(),
            gathers: Gathers::default(),
            gathered: VecDeque::new(),
            in_flight: None,
            answers: VecDeque::new(),
            members: None,
            head_put_ms: 0,
            orders: Orders::default(),
            keys_forgotten_early: 0,
        };
        (room, Output::Load)
    }

    /// Takes what happened, says what to do.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Submit(asked) => self.arrive(*asked, now, &mut out),
            Input::Loaded(state) => self.loaded(state, now, &mut out),
            Input::Read { members, rows } => self.read(members, rows, now, &mut out),
            Input::ReadFailed => self.read_failed(now, &mut out),
            Input::Appended(outcome) => self.appended(outcome, now, &mut out),
            Input::Applied(outcome) => self.applied(outcome, now, &mut out),
            Input::Time => {}
        }
        self.advance(now, &mut out);
        out
    }

    /// When [`Input::Time`] is due, in milliseconds of [`Now`].
    pub fn wake_ms(&self) -> Option<u64> {
        if self.phase != Phase::Serving {
            return None;
        }
        let flight = self.in_flight.as_ref();
        let answer_by = flight.map(|flight| flight.since_ms + self.limits.append_ms_max);
        let gathers = self.gathers.due_ms(&self.limits);
        answer_by.into_iter().chain(gathers).min()
    }

    /// Whether it serves and nothing is gathered, in flight, parked or
    /// unanswered.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Serving && !self.has_work()
    }

    /// From now on every command is handed back. What is not yet on its way
    /// to the log is handed back at the next [`Self::handle`].
    pub fn close(&mut self) {
        self.phase = Phase::Closing;
    }

    /// The durable state's head, as a row (seq 0 before anything is); clean
    /// when nothing is gathered, in flight, parked or unanswered.
    pub fn head(&self) -> HeadRow {
        let settled = matches!(self.phase, Phase::Serving | Phase::Closing) && !self.has_work();
        HeadRow {
            clean: if settled { self.durable.seq } else { 0 },
            ..self.durable
        }
    }

    /// The first of the rows up to the durable head that are held without a
    /// gap and have its epoch.
    pub fn run_from(&self) -> u64 {
        let HeadRow { seq, epoch, .. } = self.durable;
        let mut from = seq;
        for (at, held) in self.state.rows.range(..=seq).rev() {
            if *at + 1 < from || held.row.epoch != epoch {
                break;
            }
            from = *at;
        }
        from
    }

    /// Whether the conversation ended, as of the durable head.
    pub fn is_ended(&self) -> Option<bool> {
        let meta = self.state.meta.as_ref()?;
        Some(meta.deleted_at.is_some() && meta.rev <= self.durable.seq)
    }

    /// Newest seq that everybody may see.
    pub fn published(&self) -> u64 {
        self.durable.seq
    }

    /// Active members as of what is published, when all are held.
    pub fn all_members(&self) -> Option<Vec<UserId>> {
        let members = self.members.as_ref()?;
        Some(members.iter().copied().collect())
    }

    fn has_work(&self) -> bool {
        self.in_flight.is_some()
            || !self.gathered.is_empty()
            || self.parked.len() > 0
            || !self.answers.is_empty()
            || self.gathers.waiting() > 0
            || self.reading != Reading::Nothing
    }
}
