//! Loading, and reading what a decision lacks: never awaited in a handler.

use fanfare_protocol::{Refusal, UserId};

use super::machine::{Now, Output, Phase, Room};
use super::state::{Needs, RoomState};
use crate::member::MemberRow;
use crate::row::LogRow;

/// The one read that may be under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// None is.
    Nothing,
    /// This was asked for.
    Asked(Needs),
    /// It was asked for before the state was loaded again: what comes may
    /// be older than the state, and counts for nothing.
    Outdated,
}

impl Room {
    pub(super) fn loaded(
        &mut self,
        state: Option<Box<RoomState>>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
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
        self.durable = self.state.head_row();
        let members = self.state.all_members();
        self.members = members.map(|members| members.into_iter().collect());
        self.phase = Phase::Serving;
        self.wanted = Needs::default();
        self.retry_parked(now, out);
    }

    pub(super) fn read(
        &mut self,
        members: Vec<(UserId, Option<MemberRow>)>,
        rows: Vec<LogRow>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let reading = std::mem::replace(&mut self.reading, Reading::Nothing);
        if self.phase != Phase::Serving {
            return;
        }
        self.wanted = Needs::default();
        if let Reading::Asked(asked) = reading {
            for (user, row) in members {
                self.state.remember_member(user, row);
            }
            let mut damaged = false;
            for row in rows {
                // A row that is held may carry changes not yet durable.
                let held = self.state.rows.contains_key(&row.seq);
                damaged |= !held && self.state.remember_row(row).is_err();
            }
            if damaged || self.state.lacks(&asked) {
                self.refuse_reading(&Refusal::internal(), now, out);
                return;
            }
        }
        self.retry_parked(now, out);
        self.forget(now);
    }

    pub(super) fn read_failed(&mut self, now: Now, out: &mut Vec<Output>) {
        let reading = std::mem::replace(&mut self.reading, Reading::Nothing);
        if self.phase == Phase::Serving {
            self.wanted = Needs::default();
            if let Reading::Asked(_) = reading {
                let refusal = Refusal::unavailable("the store does not answer");
                self.refuse_reading(&refusal, now, out);
            } else {
                self.retry_parked(now, out);
            }
        }
    }

    /// Refuses everything that waits for something to be read.
    fn refuse_reading(&mut self, refusal: &Refusal, now: Now, out: &mut Vec<Output>) {
        for (asked, had) in self.parked.take() {
            if had.is_empty() {
                self.proceed(asked, had, now, out);
            } else {
                out.push(Output::Answer(asked.ticket, Err(refusal.clone())));
            }
        }
    }

    pub(super) fn refuse_parked(&mut self, refusal: &Refusal, out: &mut Vec<Output>) {
        for (asked, _) in self.parked.take() {
            out.push(Output::Answer(asked.ticket, Err(refusal.clone())));
        }
    }

    pub(super) fn retry_parked(&mut self, now: Now, out: &mut Vec<Output>) {
        for (asked, had) in self.parked.take() {
            self.proceed(asked, had, now, out);
        }
    }

    /// Reads what is wanted, unless something is being read: then when that
    /// has come.
    pub(super) fn start_read(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.reading != Reading::Nothing || self.wanted.is_empty() {
            return;
        }
        let mut needs = std::mem::take(&mut self.wanted);
        needs.members.sort_unstable();
        needs.members.dedup();
        needs.rows.sort_unstable();
        needs.rows.dedup();
        self.reading = Reading::Asked(needs.clone());
        self.read_since_ms = now.ms;
        out.push(Output::Read(needs));
    }

    /// Forgets what neither a command that waits nor a promise needs.
    pub(super) fn forget(&mut self, now: Now) {
        let (gathers, parked) = (&self.gathers, &self.parked);
        let keep = || {
            let mut keep = gathers.keeps();
            for (asked, had) in parked.iter() {
                keep.members.push(asked.caller);
                keep.add(had);
            }
            keep
        };
        let durable = self.durable.seq;
        self.keys_forgotten_early += self.state.forget(now.at, durable, &self.limits, keep);
        self.gathers.forget(&self.limits, now.ms);
    }
}
