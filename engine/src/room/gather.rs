//! What is gathered over a tick and decided when it closes: reactions to one
//! message, comings and goings of a channel's plain members.

use std::collections::BTreeMap;

use fanfare_protocol::command::{Command, React};
use fanfare_protocol::limits::MOVED_PER_ENTRY_MAX;
use fanfare_protocol::message::ReactionChange;
use fanfare_protocol::{Code, Limits, MessageId, Refusal};

use super::apply::set_reaction;
use super::decide::{Undecided, Verdict};
use super::state::{Needs, RoomState};
use super::submit::Submission;
use crate::entry::{Body, Moved, ReactionsChanged};

/// The ticks of one room.
#[derive(Debug, Default)]
pub(super) struct Gathers {
    /// By the message's seq.
    pub reactions: BTreeMap<u64, Tick>,
    pub moves: Tick,
}

/// Commands that wait for one tick. A quiet tick closes at once, a busy one
/// when its time has passed since it last closed.
#[derive(Debug, Default)]
pub(super) struct Tick {
    pub waiting: Vec<Submission>,
    pub closed_ms: Option<u64>,
}

impl Tick {
    pub fn due_ms(&self, gather_ms: u64) -> Option<u64> {
        let due = self.closed_ms.map_or(0, |closed| closed + gather_ms);
        (!self.waiting.is_empty()).then_some(due)
    }

    fn is_over(&self, gather_ms: u64, now_ms: u64) -> bool {
        self.waiting.is_empty()
            && self
                .closed_ms
                .is_none_or(|closed| closed + gather_ms <= now_ms)
    }
}

/// A tick decided: an entry if anything changed, and who waits for what.
#[derive(Debug, Default)]
pub(super) struct Closed {
    pub body: Option<Body>,
    pub answers: Vec<(Submission, Result<(), Refusal>)>,
    /// Must be read first; the tick stays open.
    pub needs: Needs,
    /// For the next tick.
    pub left_over: Vec<Submission>,
}

impl Gathers {
    /// When the next tick closes.
    pub fn due_ms(&self, limits: &Limits) -> Option<u64> {
        let reactions = self.reactions.values();
        reactions
            .filter_map(|tick| tick.due_ms(limits.reactions_gather_ms))
            .chain(self.moves.due_ms(limits.membership_gather_ms))
            .min()
    }

    /// Commands that wait.
    pub fn waiting(&self) -> usize {
        let reactions: usize = self.reactions.values().map(|tick| tick.waiting.len()).sum();
        reactions + self.moves.waiting.len()
    }

    /// Everything that waits, given up.
    pub fn drain(&mut self) -> Vec<Submission> {
        let mut all = std::mem::take(&mut self.moves.waiting);
        for tick in self.reactions.values_mut() {
            all.append(&mut tick.waiting);
        }
        self.reactions.clear();
        all
    }

    /// Forgets ticks of messages nobody reacts to any more.
    pub fn forget(&mut self, limits: &Limits, now_ms: u64) {
        self.reactions
            .retain(|_, tick| !tick.is_over(limits.reactions_gather_ms, now_ms));
    }

    /// What must stay in memory for the ticks that are open.
    pub fn keeps(&self) -> Needs {
        let waiting = self.reactions.values().flat_map(|tick| &tick.waiting);
        Needs {
            members: waiting
                .chain(&self.moves.waiting)
                .map(|asked| asked.caller)
                .collect(),
            rows: self.reactions.keys().copied().collect(),
        }
    }
}

/// Decides a tick of reactions to the message at `target`.
pub(super) fn close_reactions(
    state: &RoomState,
    target: u64,
    waiting: Vec<Submission>,
    limits: &Limits,
) -> Closed {
    let mut closed = Closed::default();
    let Some(held) = state.rows.get(&target) else {
        closed.needs.rows.push(target);
        closed.left_over = waiting;
        return closed;
    };
    let id: MessageId = held.row.id();
    let mut after = held.state.clone();
    let (mut changes, mut keys) = (Vec::new(), Vec::new());
    for asked in waiting {
        let Command::React(React { emoji, on, .. }) = &asked.command else {
            continue;
        };
        match state.decide(&asked, limits) {
            Err(Undecided::Needs(needs)) => {
                closed.needs.members.extend(needs.members);
                closed.needs.rows.extend(needs.rows);
                closed.left_over.push(asked);
                continue;
            }
            Err(Undecided::Refused(refusal)) => {
                closed.answers.push((asked, Err(refusal)));
                continue;
            }
            Ok(_) => {}
        }
        let mut tried = after.clone();
        if set_reaction(&mut tried, emoji, asked.caller, *on) {
            let total: usize = tried.reactions.iter().map(|(_, users)| users.len()).sum();
            if tried.reactions.len() > limits.emoji_per_message_max
                || total > limits.reactions_per_message_max
            {
                let full = Refusal::new(Code::Conflict, "the message has too many reactions");
                closed.answers.push((asked, Err(full)));
                continue;
            }
            after = tried;
            changes.push(ReactionChange {
                user: asked.caller,
                emoji: emoji.clone(),
                on: *on,
            });
            keys.push(asked.key_print.map(|key| (key, asked.request)));
        }
        closed.answers.push((asked, Ok(())));
    }
    if !changes.is_empty() {
        let reactions = after.counts(None);
        let changed = ReactionsChanged {
            message: id,
            reactions,
            changes,
            keys,
        };
        closed.body = Some(Body::ReactionsChanged(changed));
    }
    closed
}

/// Decides a tick of comings and goings. Everybody moves once per entry.
pub(super) fn close_moves(state: &RoomState, waiting: Vec<Submission>, limits: &Limits) -> Closed {
    let mut closed = Closed::default();
    let (mut joined, mut left): (Vec<Moved>, Vec<Moved>) = (Vec::new(), Vec::new());
    for asked in waiting {
        let moved_already = joined
            .iter()
            .chain(&left)
            .any(|moved: &Moved| moved.user == asked.caller);
        if moved_already || joined.len() + left.len() >= MOVED_PER_ENTRY_MAX {
            closed.left_over.push(asked);
            continue;
        }
        let key = asked.key_print.map(|key| (key, asked.request));
        let moved = Moved {
            user: asked.caller,
            key,
        };
        match state.decide(&asked, limits) {
            Err(Undecided::Needs(needs)) => {
                closed.needs.members.extend(needs.members);
                closed.left_over.push(asked);
                continue;
            }
            Err(Undecided::Refused(refusal)) => {
                closed.answers.push((asked, Err(refusal)));
                continue;
            }
            Ok(Verdict::GatherMove) if asked.command == Command::Join => joined.push(moved),
            Ok(Verdict::GatherMove) => left.push(moved),
            // It is so already.
            Ok(Verdict::Entries(_) | Verdict::GatherReaction(_)) => {}
        }
        closed.answers.push((asked, Ok(())));
    }
    if !joined.is_empty() || !left.is_empty() {
        let count = state.member_count() + joined.len() as u64;
        let member_count = count.saturating_sub(left.len() as u64);
        closed.body = Some(Body::MembersMoved {
            joined,
            left,
            member_count,
        });
    }
    closed
}
