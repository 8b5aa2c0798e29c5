//! What happens between a decision and its answer: one append in flight,
//! its outcomes, publishing, answering.

use std::collections::VecDeque;
use std::sync::Arc;

use fanfare_protocol::Refusal;
use fanfare_protocol::conversation::Kind;
use fanfare_protocol::limits::HEAD_ROW_MS;

use super::flight::{InFlight, Outcome, Published, PublishedRow, Stage};
use super::machine::{Answer, Now, Output, Phase, Room};
use super::read::Reading;
use super::state::{Needs, RoomState};
use super::submit::Accepted;
use crate::entry::Body;
use crate::row::{HeadRow, bucket_of};
use crate::view::{Ends, added_by, ends_of};

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
        for published in &flight.rows {
            self.note_durable(published);
        }
        out.push(Output::Publish(Published {
            conversation: self.state.conversation,
            epoch: self.epoch,
            rows: flight.rows,
            member_count: flight.member_count,
        }));
        self.release_answers(out);
        if self.phase == Phase::Stalled {
            // What was gathered behind it was given up: begin again from
            // what is durable.
            self.reload(out);
        } else {
            self.forget(now);
        }
    }

    fn note_durable(&mut self, PublishedRow { row, entry }: &PublishedRow) {
        self.durable = HeadRow {
            epoch: row.epoch,
            seq: row.seq,
            mno: row.mno,
            ano: row.ano,
            at: entry.at,
            ..self.durable
        };
        if matches!(&entry.body, Body::Created(created) if created.kind == Kind::Channel) {
            self.members = None;
        }
        if let Some(members) = &mut self.members {
            members.extend(added_by(entry));
            if let Ends::Users(users) = ends_of(entry) {
                members.retain(|member| !users.contains(member));
            }
        }
    }

    /// Nothing was written: everything that waits is refused, the state
    /// falls back to what is durable.
    fn give_up(&mut self, out: &mut Vec<Output>) {
        self.in_flight = None;
        self.refuse_waiting(self.durable.seq, "nothing was written", out);
        if self.phase != Phase::Closing {
            self.reload(out);
        }
    }

    fn reload(&mut self, out: &mut Vec<Output>) {
        self.phase = Phase::Loading;
        if self.reading != Reading::Nothing {
            self.reading = Reading::Outdated;
        }
        self.wanted = Needs::default();
        self.state = RoomState::new(self.state.conversation);
        out.push(Output::Load);
    }

    /// Nobody waits any longer: not for what is in flight, which stays there,
    /// nor for what is read or loaded.
    pub(super) fn stall(&mut self, out: &mut Vec<Output>) {
        let Some(in_flight) = self.in_flight.as_ref().map(InFlight::last_seq) else {
            self.refuse_waiting(self.durable.seq, "the store does not answer", out);
            return;
        };
        self.phase = Phase::Stalled;
        self.refuse_waiting(in_flight, "an earlier write is not yet settled", out);
    }

    /// Refuses whatever waits. What has an entry up to `settled` may have
    /// happened; of everything else nothing has.
    fn refuse_waiting(&mut self, settled: u64, why: &str, out: &mut Vec<Output>) {
        let refusal = Refusal::unavailable(why);
        self.gathered.clear();
        for answer in std::mem::take(&mut self.answers) {
            let refusal = if answer.result.is_ok() && answer.first <= settled {
                Refusal::outcome_unknown()
            } else {
                refusal.clone()
            };
            out.push(Output::Answer(answer.ticket, Err(refusal)));
        }
        for asked in self.gathers.drain() {
            out.push(Output::Answer(asked.ticket, Err(refusal.clone())));
        }
        self.refuse_parked(&refusal, out);
    }

    /// Hands back whatever is not on its way to the log.
    fn hand_back(&mut self, out: &mut Vec<Output>) {
        let in_flight = self.in_flight.as_ref().map(InFlight::last_seq);
        let last = in_flight.unwrap_or(self.durable.seq);
        self.gathered.clear();
        let behind = |answer: &Answer| answer.after <= last;
        let stay = self
            .answers
            .iter()
            .take_while(|answer| behind(answer))
            .count();
        for answer in self.answers.split_off(stay) {
            out.push(Output::HandBack(answer.ticket));
        }
        for asked in self.gathers.drain() {
            out.push(Output::HandBack(asked.ticket));
        }
        for (asked, _) in self.parked.take() {
            out.push(Output::HandBack(asked.ticket));
        }
    }

    // --- answers and appends -----------------------------------------------

    pub(super) fn release_answers(&mut self, out: &mut Vec<Output>) {
        let durable = self.durable.seq;
        let due = |answers: &VecDeque<Answer>| {
            answers
                .front()
                .is_some_and(|answer| answer.after <= durable)
        };
        while due(&self.answers)
            && let Some(answer) = self.answers.pop_front()
        {
            let epoch = self.state.head_epoch;
            let accepted = answer.result.map(|done| Accepted {
                done,
                repeated: answer.repeated,
                epoch,
                seq: answer.seq,
            });
            out.push(Output::Answer(answer.ticket, accepted));
        }
    }

    pub(super) fn advance(&mut self, now: Now, out: &mut Vec<Output>) {
        match self.phase {
            Phase::Serving => {
                self.close_ticks(now, out);
                self.start_read(now, out);
                self.start_append(now, out);
            }
            Phase::Closing => self.hand_back(out),
            Phase::Loading | Phase::Stalled => {}
        }
    }

    fn start_append(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.in_flight.is_some() {
            return;
        }
        let taken = InFlight::take(
            &mut self.gathered,
            self.state.conversation,
            self.epoch,
            &self.limits,
            now.ms,
        );
        let Some(mut flight) = taken else { return };
        let before = self.durable;
        if before.seq > 0 {
            if bucket_of(before.seq) != bucket_of(before.seq + 1) {
                flight.batch.head_before = Some(before);
            } else if now.ms >= self.head_put_ms + HEAD_ROW_MS {
                self.head_put_ms = now.ms;
                out.push(Output::PutHead(before));
            }
        }
        out.push(Output::Append(flight.batch.clone()));
        self.in_flight = Some(flight);
    }
}
