//! How a command arrives and is decided.

use std::collections::{HashMap, HashSet};

use fanfare_protocol::limits::{RETRY_AFTER_MS, ROOM_ORDERS_MAX};
use fanfare_protocol::{Code, Refusal, UserId};

use super::decide::{Undecided, Verdict};
use super::flight::Gathered;
use super::machine::{Answer, Now, Output, Phase, Room};
use super::queue::session_of;
use super::state::{KeyUse, Needs};
use super::submit::{Done, Order, Submission};
use crate::codec::{CodecError, encode};
use crate::entry::{Body, Entry};
use crate::row::LogRow;
use crate::secret::Fingerprint;

/// The newest number of each session's commands.
#[derive(Debug, Default)]
pub(super) struct Orders {
    newest: HashMap<u64, u64>,
    swept: usize,
}

impl Orders {
    /// A command whose predecessor of the same session, still unanswered,
    /// did not come by here.
    fn misses_one_before(&self, order: Order) -> bool {
        order.number != order.oldest
            && self.newest.get(&order.session) != Some(&order.number.saturating_sub(1))
    }

    fn is_full(&self) -> bool {
        self.newest.len() >= ROOM_ORDERS_MAX.max(2 * self.swept)
    }

    /// Forgets sessions that wait for nothing here. If one of them does not
    /// know so yet, its next command is handed back once.
    fn sweep(&mut self, open: &HashSet<u64>) {
        self.newest.retain(|session, _| open.contains(session));
        self.swept = self.newest.len();
    }
}

impl Room {
    pub(super) fn arrive(&mut self, asked: Submission, now: Now, out: &mut Vec<Output>) {
        let misses = |order| self.orders.misses_one_before(order);
        if self.phase == Phase::Closing || asked.order.is_some_and(misses) {
            out.push(Output::HandBack(asked.ticket));
            return;
        }
        // Also what is refused here: it was seen, nobody must wait for it.
        self.note_order(asked.order);
        if self.phase == Phase::Stalled {
            let refusal = Refusal::unavailable("an earlier write is not yet settled");
            out.push(Output::Answer(asked.ticket, Err(refusal)));
            return;
        }
        let waiting = self.parked.len() + self.answers.len() + self.gathers.waiting();
        if waiting >= self.limits.room_waiting_max {
            let refusal = Refusal::new(Code::Overloaded, "the conversation has too much to do");
            out.push(Output::Answer(
                asked.ticket,
                Err(refusal.after_ms(RETRY_AFTER_MS)),
            ));
            return;
        }
        if self.phase == Phase::Loading {
            self.parked.push(asked, Needs::default());
        } else {
            self.proceed(asked, Needs::default(), now, out);
        }
    }

    /// Decides a command, or parks it: what it lacks is wanted. `had` was
    /// read for it before.
    pub(super) fn proceed(
        &mut self,
        asked: Submission,
        mut had: Needs,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        // Whoever just comes or goes is first told whether they did.
        let waits = self.parked.holds_session_of(&asked)
            || self.gathers.moves.waiting.holds_session_of(&asked);
        if waits {
            self.parked.push(asked, had);
        } else if let Some((asked, needs)) = self.consider(asked, now, out) {
            self.wanted.add(&needs);
            had.add(&needs);
            self.parked.push(asked, had);
        }
    }

    fn note_order(&mut self, order: Option<Order>) {
        let Some(order) = order else { return };
        if self.orders.is_full() {
            let answers = self.answers.iter().filter_map(|answer| answer.session);
            let open = answers
                .chain(self.parked.sessions())
                .chain(self.gathers.sessions());
            self.orders.sweep(&open.collect());
        }
        self.orders.newest.insert(order.session, order.number);
    }

    /// Decides one command; gives it back with what must be read first.
    pub(super) fn consider(
        &mut self,
        asked: Submission,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Option<(Submission, Needs)> {
        let decided = match self.used_before(&asked) {
            Some(used) if used.request != asked.request => Err(key_conflict().into()),
            Some(used) => match self.state.done_again(used.seq, asked.caller) {
                Ok(done) => {
                    self.answer_later(&asked, Ok(done), true, (used.seq, used.seq), out);
                    return None;
                }
                Err(undecided) => Err(undecided),
            },
            None => self.state.decide(&asked, &self.limits),
        };
        match decided {
            Err(Undecided::Needs(needs)) => return Some((asked, needs)),
            Err(Undecided::Refused(refusal)) => self.refuse_later(&asked, refusal, out),
            Ok(Verdict::GatherReaction(target)) => {
                let tick = self.gathers.reactions.entry(target).or_default();
                tick.waiting.push(asked, Needs::default());
            }
            Ok(Verdict::GatherMove) => self.gathers.moves.waiting.push(asked, Needs::default()),
            Ok(Verdict::Entries(bodies)) if bodies.is_empty() => {
                match self.state.done_already(&asked) {
                    Ok(done) => {
                        let head = self.state.head;
                        self.answer_later(&asked, Ok(done), true, (head, head), out);
                    }
                    Err(Undecided::Needs(needs)) => return Some((asked, needs)),
                    Err(Undecided::Refused(refusal)) => self.refuse_later(&asked, refusal, out),
                }
            }
            Ok(Verdict::Entries(bodies)) => self.take(&asked, bodies, now, out),
        }
        None
    }

    fn used_before(&self, asked: &Submission) -> Option<KeyUse> {
        self.state.keys.get(&asked.key_print?).copied()
    }

    fn take(&mut self, asked: &Submission, bodies: Vec<Body>, now: Now, out: &mut Vec<Output>) {
        let first = self.state.head + 1;
        let last = bodies.len().saturating_sub(1);
        let key = asked.key_print.map(|key| (key, asked.request));
        for (place, body) in bodies.into_iter().enumerate() {
            // The key stands in the last row: a prefix that alone became
            // durable is no acceptance, and the repeat does the rest.
            let key = if place == last { key } else { None };
            if self.push(asked.caller, body, key, now).is_err() {
                self.refuse_later(asked, Refusal::internal(), out);
                return;
            }
        }
        let seq = self.state.head;
        match self.state.done(seq) {
            Ok(done) => self.answer_later(asked, Ok(done), false, (first, seq), out),
            Err(_) => self.refuse_later(asked, Refusal::internal(), out),
        }
    }

    pub(super) fn push(
        &mut self,
        author: UserId,
        body: Body,
        key: Option<(Fingerprint, Fingerprint)>,
        now: Now,
    ) -> Result<(), CodecError> {
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
            entry: std::sync::Arc::new(entry),
            effects,
            member_count: self.state.member_count(),
        });
        Ok(())
    }

    pub(super) fn refuse_later(
        &mut self,
        asked: &Submission,
        refusal: Refusal,
        out: &mut Vec<Output>,
    ) {
        self.answer_later(asked, Err(refusal), false, (0, 0), out);
    }

    /// Answers when everything decided so far is durable. `made_by`: first
    /// and last seq of the entries that made it so.
    pub(super) fn answer_later(
        &mut self,
        asked: &Submission,
        result: Result<Done, Refusal>,
        repeated: bool,
        made_by: (u64, u64),
        out: &mut Vec<Output>,
    ) {
        self.answers.push_back(Answer {
            after: self.state.head,
            ticket: asked.ticket,
            session: session_of(asked),
            result,
            repeated,
            first: made_by.0,
            seq: made_by.1,
        });
        self.release_answers(out);
    }
}

pub(super) fn key_conflict() -> Refusal {
    Refusal::new(
        Code::IdempotencyConflict,
        "the key was used before with another request",
    )
}
