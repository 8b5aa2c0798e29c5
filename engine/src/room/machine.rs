//! The order in which things happen to one conversation.
//!
//! On arrival a command is decided and applied to the *tentative* state,
//! which assigns its seq; entries gather; one append is in flight; when its
//! rows and then its effects are durable, it is published and answered.
//!
//! **Invariant:** nothing decided on tentative state leaves before it is
//! durable: acceptances, refusals and repeats wait for the entry before them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use fanfare_protocol::limits::ROOM_ORDERS_MAX;
use fanfare_protocol::{Code, Limits, Refusal, Timestamp, UserId};

use super::decide::{Undecided, Verdict};
use super::flight::{Batch, Gathered, InFlight, Outcome, Published};
use super::gather::Gathers;
use super::state::{Needs, RoomState};
use super::submit::{Accepted, Done, Order, Submission};
use crate::codec::encode;
use crate::effect::Effects;
use crate::entry::{Body, Entry};
use crate::member::MemberRow;
use crate::row::{HeadRow, LogRow};
use crate::secret::Fingerprint;

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
    pub(super) state: RoomState,
    pub(super) phase: Phase,
    /// Commands that wait for loading or reading, in order of arrival.
    pub(super) parked: VecDeque<Submission>,
    pub(super) reading: bool,
    pub(super) gathers: Gathers,
    pub(super) gathered: VecDeque<Gathered>,
    pub(super) in_flight: Option<InFlight>,
    pub(super) answers: VecDeque<Answer>,
    pub(super) published: u64,
    pub(super) head_put_ms: u64,
    pub(super) orders: HashMap<u64, u64>,
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

#[derive(Debug)]
pub(super) struct Answer {
    pub after: u64,
    pub ticket: u64,
    pub result: Result<Done, Refusal>,
    pub repeated: bool,
    pub seq: u64,
}

impl Room {
    /// A room that is about to load; do the returned [`Output::Load`].
    pub fn new(
        conversation: fanfare_protocol::ConversationId,
        epoch: u64,
        limits: Arc<Limits>,
    ) -> (Self, Output) {
        let room = Self {
            epoch,
            limits,
            state: RoomState::new(conversation),
            phase: Phase::Loading,
            parked: VecDeque::new(),
            reading: false,
            gathers: Gathers::default(),
            gathered: VecDeque::new(),
            in_flight: None,
            answers: VecDeque::new(),
            published: 0,
            head_put_ms: 0,
            orders: HashMap::new(),
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
            Input::ReadFailed => {
                self.reading = false;
                self.refuse_parked(&Refusal::unavailable("the store does not answer"), &mut out);
            }
            Input::Appended(outcome) => self.appended(outcome, now, &mut out),
            Input::Applied(outcome) => self.applied(outcome, now, &mut out),
            Input::Time => {}
        }
        self.advance(now, &mut out);
        out
    }

    /// When [`Input::Time`] is due, in milliseconds of [`Now`].
    pub fn wake_ms(&self) -> Option<u64> {
        let answer_by = match (&self.in_flight, self.phase) {
            (Some(flight), Phase::Serving) => Some(flight.since_ms + self.limits.append_ms_max),
            _ => None,
        };
        let gathers = match self.phase {
            Phase::Serving if !self.reading => self.gathers.due_ms(&self.limits),
            _ => None,
        };
        answer_by.into_iter().chain(gathers).min()
    }

    /// Whether nothing is gathered, in flight, parked or unanswered.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Serving
            && self.in_flight.is_none()
            && self.gathered.is_empty()
            && self.parked.is_empty()
            && self.answers.is_empty()
            && self.gathers.waiting() == 0
            && !self.reading
    }

    /// From now on every command is handed back.
    pub fn close(&mut self) {
        self.phase = Phase::Closing;
    }

    /// The durable state's head, as a row; clean when the room is idle.
    pub fn head(&self) -> HeadRow {
        HeadRow {
            conversation: self.state.conversation,
            epoch: self.state.head_epoch,
            seq: self.state.head,
            mno: self.state.mno,
            ano: self.state.ano,
            at: self.state.at,
            clean: if self.is_idle() || self.phase == Phase::Closing {
                self.state.head
            } else {
                0
            },
        }
    }

    /// Newest seq that everybody may see.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Active members, when all are held.
    pub fn all_members(&self) -> Option<Vec<UserId>> {
        self.state.all_members()
    }

    // --- arrival -----------------------------------------------------------

    fn arrive(&mut self, asked: Submission, now: Now, out: &mut Vec<Output>) {
        if self.phase == Phase::Closing || self.misses_one_before(asked.order) {
            out.push(Output::HandBack(asked.ticket));
            return;
        }
        if self.phase == Phase::Stalled {
            let refusal = Refusal::unavailable("an earlier write is not yet settled");
            out.push(Output::Answer(asked.ticket, Err(refusal)));
            return;
        }
        let waiting = self.parked.len() + self.answers.len() + self.gathers.waiting();
        if waiting >= self.limits.room_waiting_max {
            let refusal = Refusal::new(Code::Overloaded, "the conversation has too much to do");
            out.push(Output::Answer(asked.ticket, Err(refusal.after_ms(1000))));
            return;
        }
        self.note_order(asked.order);
        if self.phase == Phase::Loading || self.is_behind_parked(&asked) {
            self.parked.push_back(asked);
            return;
        }
        if let Some((asked, needs)) = self.consider(asked, now, out) {
            self.parked.push_back(asked);
            self.want(needs, out);
        }
    }

    /// A command whose predecessor of the same session, still unanswered,
    /// did not come by here.
    fn misses_one_before(&self, order: Option<Order>) -> bool {
        order.is_some_and(|order| {
            order.number != order.oldest
                && self.orders.get(&order.session) != Some(&order.number.saturating_sub(1))
        })
    }

    fn note_order(&mut self, order: Option<Order>) {
        let Some(order) = order else { return };
        if self.orders.len() >= ROOM_ORDERS_MAX && !self.orders.contains_key(&order.session) {
            // Whoever is forgotten and has something open is handed back
            // once and comes again in order.
            self.orders.clear();
        }
        self.orders.insert(order.session, order.number);
    }

    fn is_behind_parked(&self, asked: &Submission) -> bool {
        let same = |other: &Submission| match (other.order, asked.order) {
            (Some(other), Some(order)) => other.session == order.session,
            _ => false,
        };
        self.parked.iter().any(same)
    }

    /// Decides one command; gives it back with what must be read first.
    fn consider(
        &mut self,
        asked: Submission,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Option<(Submission, Needs)> {
        let used = asked
            .key_print
            .and_then(|key| self.state.keys.get(&key).copied());
        let decided = match used {
            Some(used) if used.request != asked.request => Err(Undecided::Refused(Refusal::new(
                Code::IdempotencyConflict,
                "the key was used before with another request",
            ))),
            Some(used) => self
                .state
                .done(used.seq)
                .map(|done| (done, used.seq))
                .map(Some),
            None => Ok(None),
        };
        let decided = match decided {
            Ok(Some((done, seq))) => {
                self.answer_later(asked.ticket, Ok(done), true, seq, out);
                return None;
            }
            Ok(None) => self.state.decide(&asked, &self.limits),
            Err(undecided) => Err(undecided),
        };
        match decided {
            Err(Undecided::Needs(needs)) => return Some((asked, needs)),
            Err(Undecided::Refused(refusal)) => {
                self.answer_later(asked.ticket, Err(refusal), false, 0, out);
            }
            Ok(Verdict::GatherReaction(target)) => {
                self.gathers
                    .reactions
                    .entry(target)
                    .or_default()
                    .waiting
                    .push(asked);
            }
            Ok(Verdict::GatherMove) => self.gathers.moves.waiting.push(asked),
            Ok(Verdict::Entries(bodies)) if bodies.is_empty() => {
                let done = match self.state.done_already(&asked) {
                    Ok(done) => Ok(done),
                    Err(Undecided::Needs(needs)) => return Some((asked, needs)),
                    Err(Undecided::Refused(refusal)) => Err(refusal),
                };
                self.answer_later(asked.ticket, done, true, self.state.head, out);
            }
            Ok(Verdict::Entries(bodies)) => self.take(&asked, bodies, now, out),
        }
        None
    }

    fn take(&mut self, asked: &Submission, bodies: Vec<Body>, now: Now, out: &mut Vec<Output>) {
        let last = bodies.len().saturating_sub(1);
        let key = asked.key_print.map(|key| (key, asked.request));
        for (place, body) in bodies.into_iter().enumerate() {
            // The key stands in the last row: a prefix that alone became
            // durable is no acceptance, and the repeat does the rest.
            let key = if place == last { key } else { None };
            if self.push(asked.caller, body, key, now).is_err() {
                self.answer_later(asked.ticket, Err(Refusal::internal()), false, 0, out);
                return;
            }
        }
        let seq = self.state.head;
        let done = self.state.done(seq).map_err(|undecided| match undecided {
            Undecided::Refused(refusal) => refusal,
            Undecided::Needs(_) => Refusal::internal(),
        });
        self.answer_later(asked.ticket, done, false, seq, out);
    }

    pub(super) fn push(
        &mut self,
        author: UserId,
        body: Body,
        key: Option<(Fingerprint, Fingerprint)>,
        now: Now,
    ) -> Result<(), crate::codec::CodecError> {
        let entry = Entry {
            at: now.at,
            author,
            body,
        };
        let row = LogRow {
            conversation: self.state.conversation,
            seq: self.state.head + 1,
            epoch: self.epoch,
            mno: self.state.mno + u64::from(entry.body.is_message()),
            ano: self.state.ano + u64::from(entry.body.mentions_all()),
            key: key.map(|(key, _)| key),
            request: key.map(|(_, request)| request),
            entry: encode(&entry)?,
            state: bytes::Bytes::new(),
        };
        let effects = self.state.apply_new(&row, &entry)?;
        self.gathered.push_back(Gathered {
            row,
            entry: Arc::new(entry),
            effects,
        });
        Ok(())
    }

    // --- loading and reading -----------------------------------------------

    fn loaded(&mut self, state: Option<Box<RoomState>>, now: Now, out: &mut Vec<Output>) {
        if self.phase != Phase::Loading {
            return;
        }
        let Some(state) = state else {
            let refusal = Refusal::unavailable("the conversation could not be loaded");
            self.refuse_parked(&refusal, out);
            self.phase = Phase::Closing;
            return;
        };
        self.state = *state;
        self.published = self.state.head;
        self.phase = Phase::Serving;
        self.retry_parked(now, out);
    }

    fn read(
        &mut self,
        members: Vec<(UserId, Option<MemberRow>)>,
        rows: Vec<LogRow>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        self.reading = false;
        if self.phase != Phase::Serving {
            return;
        }
        for (user, row) in members {
            self.state.remember_member(user, row);
        }
        for row in rows {
            // A row that is held may carry changes not yet durable.
            if !self.state.rows.contains_key(&row.seq) && self.state.remember_row(row).is_err() {
                self.refuse_parked(&Refusal::internal(), out);
                return;
            }
        }
        self.retry_parked(now, out);
    }

    fn retry_parked(&mut self, now: Now, out: &mut Vec<Output>) {
        let mut wanted = Needs::default();
        for asked in std::mem::take(&mut self.parked) {
            if self.is_behind_parked(&asked) {
                self.parked.push_back(asked);
            } else if let Some((asked, needs)) = self.consider(asked, now, out) {
                self.parked.push_back(asked);
                wanted.members.extend(needs.members);
                wanted.rows.extend(needs.rows);
            }
        }
        if !wanted.is_empty() {
            self.want(wanted, out);
        }
    }

    pub(super) fn want(&mut self, mut needs: Needs, out: &mut Vec<Output>) {
        if !self.reading {
            self.reading = true;
            needs.members.sort_unstable();
            needs.members.dedup();
            needs.rows.sort_unstable();
            needs.rows.dedup();
            out.push(Output::Read(needs));
        }
    }
}
