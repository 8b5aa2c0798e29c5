//! What is gathered over a tick and decided when it closes: reactions to one
//! message, comings and goings of a channel's plain members.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use fanfare_protocol::command::{Command, React};
use fanfare_protocol::limits::{MOVED_PER_ENTRY_MAX, REACTIONS_PER_ENTRY_MAX};
use fanfare_protocol::message::ReactionChange;
use fanfare_protocol::{Code, Limits, Refusal, UserId};

use super::apply::{sees_all, set_reaction};
use super::arrive::key_conflict;
use super::decide::{Undecided, Verdict};
use super::queue::Queue;
use super::state::{Needs, RoomState};
use super::submit::Submission;
use crate::entry::{Body, Moved, ReactionsChanged};
use crate::secret::Fingerprint;
use crate::state::MessageState;

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
    pub waiting: Queue,
    pub closed_ms: Option<u64>,
}

impl Tick {
    fn due_ms(&self, gather_ms: u64) -> Option<u64> {
        let due = self.closed_ms.map_or(0, |closed| closed + gather_ms);
        (self.waiting.len() > 0).then_some(due)
    }

    pub fn is_due(&self, gather_ms: u64, now_ms: u64) -> bool {
        self.due_ms(gather_ms).is_some_and(|due| due <= now_ms)
    }

    fn is_over(&self, gather_ms: u64, now_ms: u64) -> bool {
        self.waiting.len() == 0
            && self
                .closed_ms
                .is_none_or(|closed| closed + gather_ms <= now_ms)
    }

    fn drain(&mut self) -> impl Iterator<Item = Submission> + use<> {
        self.waiting.take().into_iter().map(|(asked, _)| asked)
    }
}

/// A tick decided: an entry if anything changed, and who waits for what.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// The entry and its author: the first whose command changed something.
    pub entry: Option<(UserId, Body)>,
    /// Whether each command changed something.
    pub answers: Vec<(Submission, Result<bool, Refusal>)>,
    /// For the next tick.
    pub left_over: Vec<Submission>,
    /// Not, or not yet, for a tick: to be decided like any command.
    pub again: Vec<Submission>,
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
        self.ticks().map(|tick| tick.waiting.len()).sum()
    }

    /// Sessions whose commands wait.
    pub fn sessions(&self) -> impl Iterator<Item = u64> {
        self.ticks().flat_map(|tick| tick.waiting.sessions())
    }

    /// Everything that waits, given up.
    pub fn drain(&mut self) -> Vec<Submission> {
        self.ticks_mut().flat_map(Tick::drain).collect()
    }

    /// Forgets ticks of messages nobody reacts to any more.
    pub fn forget(&mut self, limits: &Limits, now_ms: u64) {
        self.reactions
            .retain(|_, tick| !tick.is_over(limits.reactions_gather_ms, now_ms));
    }

    /// What must stay in memory for the ticks that are open.
    pub fn keeps(&self) -> Needs {
        let waiting = self.ticks().flat_map(|tick| tick.waiting.iter());
        Needs {
            members: waiting.map(|(asked, _)| asked.caller).collect(),
            rows: self.reactions.keys().copied().collect(),
        }
    }

    fn ticks(&self) -> impl Iterator<Item = &Tick> {
        self.reactions.values().chain([&self.moves])
    }

    fn ticks_mut(&mut self) -> impl Iterator<Item = &mut Tick> {
        self.reactions.values_mut().chain([&mut self.moves])
    }
}

impl Closed {
    /// Whether a key is new to the log and to this tick; what is not is
    /// dealt with.
    fn is_new(
        &mut self,
        state: &RoomState,
        keys: &HashMap<Fingerprint, Fingerprint>,
        asked: Submission,
    ) -> Option<Submission> {
        let Some(key) = asked.key_print else {
            return Some(asked);
        };
        if state.keys.contains_key(&key) {
            self.again.push(asked);
            return None;
        }
        if keys
            .get(&key)
            .is_some_and(|request| *request != asked.request)
        {
            self.answers.push((asked, Err(key_conflict())));
            return None;
        }
        Some(asked)
    }
}

/// Decides a tick of reactions to the message at `target`.
pub(super) fn close_reactions(
    state: &RoomState,
    target: u64,
    waiting: VecDeque<(Submission, Needs)>,
    limits: &Limits,
) -> Closed {
    let mut closed = Closed::default();
    let waiting = waiting.into_iter().map(|(asked, _)| asked);
    let Some(held) = state.rows.get(&target) else {
        closed.again = waiting.collect();
        return closed;
    };
    let mut after = held.state.clone();
    let mut seen = HashMap::new();
    let (mut changes, mut keys): (Vec<ReactionChange>, Vec<_>) = (Vec::new(), Vec::new());
    for asked in waiting {
        if changes.len() >= REACTIONS_PER_ENTRY_MAX {
            closed.left_over.push(asked);
            continue;
        }
        let Some(asked) = closed.is_new(state, &seen, asked) else {
            continue;
        };
        let Command::React(React { emoji, on, .. }) = &asked.command else {
            closed.again.push(asked);
            continue;
        };
        match state.decide(&asked, limits) {
            Err(Undecided::Needs(_)) => {
                closed.again.push(asked);
                continue;
            }
            Err(Undecided::Refused(refusal)) => {
                closed.answers.push((asked, Err(refusal)));
                continue;
            }
            Ok(_) => {}
        }
        let mut tried = after.clone();
        let changed = set_reaction(&mut tried, emoji, asked.caller, *on);
        if changed {
            if *on && is_full(&tried, limits) {
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
            let key = asked.key_print.map(|key| (key, asked.request));
            seen.extend(key);
            keys.push(key);
        }
        closed.answers.push((asked, Ok(changed)));
    }
    if let Some(first) = changes.first() {
        let changed = ReactionsChanged {
            message: held.row.id(),
            reactions: after.counts(None),
            changes: changes.clone(),
            keys,
        };
        closed.entry = Some((first.user, Body::ReactionsChanged(changed)));
    }
    closed
}

fn is_full(state: &MessageState, limits: &Limits) -> bool {
    let total: usize = state.reactions.iter().map(|(_, users)| users.len()).sum();
    state.reactions.len() > limits.emoji_per_message_max || total > limits.reactions_per_message_max
}

/// Decides a tick of comings and goings. Everybody moves once per entry.
pub(super) fn close_moves(
    state: &RoomState,
    waiting: VecDeque<(Submission, Needs)>,
    limits: &Limits,
) -> Closed {
    let mut closed = Closed::default();
    let (mut joined, mut left): (Vec<Moved>, Vec<Moved>) = (Vec::new(), Vec::new());
    let mut moved_already: HashSet<UserId> = HashSet::new();
    let nothing_seen = HashMap::new();
    let mut first = None;
    for (asked, _) in waiting {
        if moved_already.len() >= MOVED_PER_ENTRY_MAX || moved_already.contains(&asked.caller) {
            closed.left_over.push(asked);
            continue;
        }
        let Some(asked) = closed.is_new(state, &nothing_seen, asked) else {
            continue;
        };
        let moved = Moved {
            user: asked.caller,
            key: asked.key_print.map(|key| (key, asked.request)),
        };
        match state.decide(&asked, limits) {
            Err(Undecided::Needs(_)) => closed.again.push(asked),
            Err(Undecided::Refused(refusal)) => closed.answers.push((asked, Err(refusal))),
            Ok(Verdict::GatherMove) => {
                let into = if asked.command == Command::Join {
                    &mut joined
                } else {
                    &mut left
                };
                into.push(moved);
                moved_already.insert(moved.user);
                first.get_or_insert(moved.user);
                closed.answers.push((asked, Ok(true)));
            }
            Ok(Verdict::Entries(bodies)) if bodies.is_empty() => {
                closed.answers.push((asked, Ok(false)));
            }
            // Who got a role meanwhile leaves by an entry of their own.
            Ok(Verdict::Entries(_) | Verdict::GatherReaction(_)) => closed.again.push(asked),
        }
    }
    if let (Some(first), Some(meta)) = (first, &state.meta) {
        let count = meta.member_count + joined.len() as u64;
        let moved = Body::MembersMoved {
            member_count: count.saturating_sub(left.len() as u64),
            joined,
            left,
            from_start: sees_all(meta.kind, meta.visibility),
        };
        closed.entry = Some((first, moved));
    }
    closed
}
