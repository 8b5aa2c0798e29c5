//! What happens between a decision and its answer: one append in flight,
//! its outcomes, publishing, answering, ticks.

use std::sync::Arc;

use fanfare_protocol::Refusal;
use fanfare_protocol::limits::HEAD_ROW_MS;

use super::decide::Undecided;
use super::flight::{InFlight, Outcome, Published, Stage};
use super::gather::{Closed, close_moves, close_reactions};
use super::machine::{Answer, Now, Output, Phase, Room};
use super::state::RoomState;
use super::submit::{Accepted, Done};
use crate::row::{HeadRow, LogRow, bucket_of};

impl Room {
    // --- outcomes ----------------------------------------------------------

    pub(super) fn appended(&mut self, outcome: Outcome, now: Now, out: &mut Vec<Output>) {
        let Some(flight) = self
            .in_flight
            .as_mut()
            .filter(|it| it.stage == Stage::Append)
        else {
            return;
        };
        match outcome {
            Outcome::Durable if flight.effects.list.is_empty() => self.publish(now, out),
            Outcome::Durable => {
                flight.stage = Stage::Apply;
                out.push(Output::Apply(Arc::clone(&flight.effects)));
            }
            Outcome::NotWritten if !flight.unknown => self.give_up(out),
            // Once unknown, only success says what happened.
            Outcome::NotWritten | Outcome::Unknown => {
                flight.unknown = true;
                out.push(Output::Append(flight.batch.clone()));
            }
        }
    }

    pub(super) fn applied(&mut self, outcome: Outcome, now: Now, out: &mut Vec<Output>) {
        let Some(flight) = self
            .in_flight
            .as_mut()
            .filter(|it| it.stage == Stage::Apply)
        else {
            return;
        };
        match outcome {
            Outcome::Durable => self.publish(now, out),
            // The entries are durable: their effects follow, or an
            // activation repeats them.
            Outcome::NotWritten | Outcome::Unknown => {
                out.push(Output::Apply(Arc::clone(&flight.effects)));
            }
        }
    }

    fn publish(&mut self, now: Now, out: &mut Vec<Output>) {
        let Some(flight) = self.in_flight.take() else {
            return;
        };
        self.published = flight.last_seq();
        out.push(Output::Publish(Published {
            conversation: self.state.conversation,
            epoch: self.epoch,
            rows: flight.rows,
            member_count: self.state.member_count(),
        }));
        self.release_answers(out);
        if self.phase == Phase::Stalled {
            // What was gathered behind it was given up: begin again from
            // what is durable.
            self.reload(out);
            return;
        }
        let keep = self.gathers.keeps();
        let limits = &self.limits;
        self.keys_forgotten_early += self.state.forget(
            now.at,
            self.published,
            limits.room_keys_max,
            limits.room_members_cached_max,
            &keep,
        );
        self.gathers.forget(limits, now.ms);
    }

    /// Nothing was written: everything that waits is refused, the state
    /// falls back to what is durable.
    fn give_up(&mut self, out: &mut Vec<Output>) {
        self.in_flight = None;
        let refusal = Refusal::unavailable("nothing was written");
        self.refuse_waiting(&refusal, out);
        self.reload(out);
    }

    fn reload(&mut self, out: &mut Vec<Output>) {
        self.phase = Phase::Loading;
        self.reading = false;
        self.state = RoomState::new(self.state.conversation);
        out.push(Output::Load);
    }

    fn stall(&mut self, out: &mut Vec<Output>) {
        let in_flight = self.in_flight.as_ref().map_or(0, InFlight::last_seq);
        self.phase = Phase::Stalled;
        for answer in std::mem::take(&mut self.answers) {
            let refusal = if answer.after <= in_flight && answer.seq > self.published {
                Refusal::outcome_unknown()
            } else {
                Refusal::unavailable("an earlier write is not yet settled")
            };
            out.push(Output::Answer(answer.ticket, Err(refusal)));
        }
        self.gathered.clear();
        self.refuse_waiting(
            &Refusal::unavailable("an earlier write is not yet settled"),
            out,
        );
    }

    fn refuse_waiting(&mut self, refusal: &Refusal, out: &mut Vec<Output>) {
        self.gathered.clear();
        for answer in std::mem::take(&mut self.answers) {
            out.push(Output::Answer(answer.ticket, Err(refusal.clone())));
        }
        for asked in self.gathers.drain() {
            out.push(Output::Answer(asked.ticket, Err(refusal.clone())));
        }
        self.refuse_parked(refusal, out);
    }

    pub(super) fn refuse_parked(&mut self, refusal: &Refusal, out: &mut Vec<Output>) {
        for asked in std::mem::take(&mut self.parked) {
            out.push(Output::Answer(asked.ticket, Err(refusal.clone())));
        }
    }

    // --- answers and appends -----------------------------------------------

    pub(super) fn answer_later(
        &mut self,
        ticket: u64,
        result: Result<Done, Refusal>,
        repeated: bool,
        seq: u64,
        out: &mut Vec<Output>,
    ) {
        let after = self.state.head;
        self.answers.push_back(Answer {
            after,
            ticket,
            result,
            repeated,
            seq,
        });
        self.release_answers(out);
    }

    fn release_answers(&mut self, out: &mut Vec<Output>) {
        while self
            .answers
            .front()
            .is_some_and(|answer| answer.after <= self.published)
        {
            let Some(answer) = self.answers.pop_front() else {
                break;
            };
            let epoch = self.state.head_epoch;
            let Answer {
                ticket,
                result,
                repeated,
                seq,
                ..
            } = answer;
            let accepted = result.map(|done| Accepted {
                done,
                repeated,
                epoch,
                seq,
            });
            out.push(Output::Answer(ticket, accepted));
        }
    }

    pub(super) fn advance(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.phase == Phase::Serving {
            self.close_ticks(now, out);
            self.start_append(now, out);
            let late = |flight: &InFlight| now.ms >= flight.since_ms + self.limits.append_ms_max;
            if self.in_flight.as_ref().is_some_and(late) {
                self.stall(out);
            }
        }
    }

    fn start_append(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.in_flight.is_some() {
            return;
        }
        let conversation = self.state.conversation;
        let taken = InFlight::take(
            &mut self.gathered,
            conversation,
            self.epoch,
            &self.limits,
            now.ms,
        );
        let Some(mut flight) = taken else { return };
        let first = flight.rows.first().map(|first| first.row.clone());
        if let Some(first) = first
            && first.seq > 1
        {
            let before = self.head_before(&first, now);
            if bucket_of(first.seq) != bucket_of(first.seq - 1) {
                flight.batch.head_before = before;
            } else if now.ms >= self.head_put_ms + HEAD_ROW_MS {
                self.head_put_ms = now.ms;
                out.extend(before.map(Output::PutHead));
            }
        }
        out.push(Output::Append(flight.batch.clone()));
        self.in_flight = Some(flight);
    }

    /// The head row before `first`: everything up to there is durable.
    fn head_before(&self, first: &LogRow, now: Now) -> Option<HeadRow> {
        let held = self.state.rows.get(&(first.seq - 1))?;
        Some(HeadRow {
            conversation: first.conversation,
            epoch: held.row.epoch,
            seq: held.row.seq,
            mno: held.row.mno,
            ano: held.row.ano,
            at: now.at,
            clean: 0,
        })
    }

    fn close_ticks(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.reading {
            return;
        }
        let gather_ms = self.limits.reactions_gather_ms;
        let is_due = |due: Option<u64>| due.is_some_and(|due| due <= now.ms);
        let ticks = self.gathers.reactions.iter();
        let due: Vec<u64> = ticks
            .filter(|(_, tick)| is_due(tick.due_ms(gather_ms)))
            .map(|(target, _)| *target)
            .collect();
        for target in due {
            let Some(tick) = self.gathers.reactions.get_mut(&target) else {
                continue;
            };
            tick.closed_ms = Some(now.ms);
            let waiting = std::mem::take(&mut tick.waiting);
            let mut closed = close_reactions(&self.state, target, waiting, &self.limits);
            if let Some(tick) = self.gathers.reactions.get_mut(&target) {
                tick.waiting = std::mem::take(&mut closed.left_over);
            }
            self.closed(closed, now, out);
        }
        if is_due(self.gathers.moves.due_ms(self.limits.membership_gather_ms)) {
            self.gathers.moves.closed_ms = Some(now.ms);
            let waiting = std::mem::take(&mut self.gathers.moves.waiting);
            let mut closed = close_moves(&self.state, waiting, &self.limits);
            self.gathers.moves.waiting = std::mem::take(&mut closed.left_over);
            self.closed(closed, now, out);
        }
    }

    fn closed(&mut self, closed: Closed, now: Now, out: &mut Vec<Output>) {
        let author = closed.answers.iter().find(|(_, answer)| answer.is_ok());
        let author = author.map(|(asked, _)| asked.caller);
        let mut failed = false;
        if let (Some(body), Some(author)) = (closed.body, author) {
            failed = self.push(author, body, None, now).is_err();
        }
        let seq = self.state.head;
        for (asked, answer) in closed.answers {
            let done = answer.and_then(|()| match self.state.done_already(&asked) {
                Ok(done) if !failed => Ok(done),
                Ok(_) | Err(Undecided::Needs(_)) => Err(Refusal::internal()),
                Err(Undecided::Refused(refusal)) => Err(refusal),
            });
            self.answer_later(asked.ticket, done, false, seq, out);
        }
        if !closed.needs.is_empty() {
            self.want(closed.needs, out);
        }
    }
}
