//! One conversation: its rows in order first, then what else the store holds
//! of it, then the verdict.
//!
//! Read the head row first, then rows, then epochs, then the rest: a log
//! under use only gets longer meanwhile, and what is newer than the rows that
//! were read is not judged.

use std::collections::{HashMap, HashSet};

use fanfare_protocol::limits::{ACTIVATION_ROWS, FINDINGS_PER_LOG_MAX};
use fanfare_protocol::{ConversationId, Timestamp, UserId};

use super::effects::{Expected, Object, Value};
use super::finding::{Finding, What};
use super::keys::Keys;
use crate::entry::{Body, Entry};
use crate::member::{Marks, MemberRow};
use crate::meta::ConversationMeta;
use crate::reader::owner_of;
use crate::room::replay::Replay;
use crate::row::{EpochRow, HeadRow, LogRow};
use crate::state::MessageState;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All findings, those of the log first.
    Judged(Vec<Finding>),
    /// Rows from here on belong to nobody and were never acknowledged: look
    /// again at what is before them.
    EndsBefore(u64),
}

/// The log of one conversation under audit.
pub struct Audit {
    conversation: ConversationId,
    head: Option<HeadRow>,
    /// When the entry at the head row's seq was taken.
    head_at: Option<Timestamp>,
    /// `mno` and `ano` of every row, as counted.
    counts: Vec<(u32, u32)>,
    /// Epochs of rows: (epoch, first, last).
    ranges: Vec<(u64, u64, u64)>,
    /// The seq that is missing, once one is.
    gap: Option<u64>,
    keys: Keys,
    replay: Replay,
    expected: Expected,
    states: HashMap<u64, MessageState>,
    /// Targets whose state is empty, with the entry that changed them.
    unchanged: Vec<(u64, u64)>,
    /// Rows with a text that a deletion would empty.
    texts: HashSet<u64>,
    /// Rows whose text a deletion left, with the deletion.
    left: Vec<(u64, u64)>,
    findings: Vec<Finding>,
}

impl Audit {
    /// Before the first row. `head` was read before any.
    pub fn new(conversation: ConversationId, head: Option<HeadRow>) -> Self {
        Self {
            conversation,
            head,
            head_at: None,
            counts: Vec::new(),
            ranges: Vec::new(),
            gap: None,
            keys: Keys::default(),
            replay: Replay::new(conversation),
            expected: Expected::default(),
            states: HashMap::new(),
            unchanged: Vec::new(),
            texts: HashSet::new(),
            left: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Rows seen so far: the seq of the last one.
    pub fn last(&self) -> u64 {
        self.counts.len() as u64
    }

    /// Takes the next row. `false`: it does not follow, no more are needed.
    pub fn row(&mut self, row: &LogRow) -> bool {
        let next = self.last() + 1;
        if row.seq != next || self.gap.is_some() {
            self.gap.get_or_insert(next);
            return false;
        }
        match self.ranges.last_mut() {
            Some((epoch, _, last)) if *epoch == row.epoch => *last = row.seq,
            _ => self.ranges.push((row.epoch, row.seq, row.seq)),
        }
        let (entry, state) = (row.entry(), row.state());
        let counts = self.counted(entry.as_ref().ok(), row);
        self.counts.push(counts);
        match (entry, state) {
            (Ok(entry), Ok(state)) => self.replayed(row, entry, state),
            (Err(_), _) => self.find(row.seq, What::Damaged { part: "the entry" }),
            (_, Err(_)) => self.find(row.seq, What::Damaged { part: "the state" }),
        }
        true
    }

    /// Takes a membership as it is stored under the conversation, and from
    /// the side of the user.
    pub fn member(&mut self, user: UserId, row: MemberRow, other_side: Option<MemberRow>) {
        let newest = other_side.map_or(0, |other| other.changed_seq);
        if other_side != Some(row) && row.changed_seq.max(newest) <= self.due() {
            self.find(0, What::SidesDiffer { user });
        }
        if row.changed_seq > self.last() {
            self.expected.remove(Object::Member(user));
            return;
        }
        let stored = Value::Member(row);
        let what = match self.expected.remove(Object::Member(user)) {
            Some(expected) if expected == stored => return,
            Some(_) => What::MemberDiffers { user },
            None => What::MemberUnknown { user },
        };
        self.differs(Object::Member(user), Some(&stored), what);
    }

    /// Takes the conversation's own record as it is stored.
    pub fn record(&mut self, meta: Option<ConversationMeta>) {
        let expected = self.expected.remove(Object::Meta);
        let last = self.last();
        let stored = meta.filter(|meta| meta.rev <= last);
        let stored = stored.map(|meta| Value::Meta(Box::new(meta)));
        if stored != expected {
            self.differs(Object::Meta, stored.as_ref(), What::RecordDiffers);
        }
    }

    /// Takes a note that a message names somebody.
    pub fn mention(&mut self, user: UserId, message: u64, on: bool) {
        if message > self.last() {
            return;
        }
        let object = Object::Mention(message, user);
        let expected = matches!(self.expected.remove(object), Some(Value::Mention(true)));
        if expected == on {
            return;
        }
        let what = match on {
            true => What::MentionLeft { user },
            false => What::MentionMissing { user },
        };
        let stored = Value::Mention(on);
        self.differs(object, Some(&stored), what);
    }

    /// Takes somebody's marks.
    pub fn marks(&mut self, user: UserId, marks: Marks) {
        let last = self.last();
        if self.due() == last && marks.read_seq.max(marks.delivered_seq) > last {
            self.find(last, What::MarkAhead { user });
        }
        let Some((mno, ano)) = self.counts_at(marks.read_seq) else {
            return;
        };
        let (stored, counted) = ((marks.read_mno, marks.read_ano), (mno, ano));
        if stored != counted {
            let what = What::MarkCounts {
                user,
                stored,
                counted,
            };
            self.find(marks.read_seq, what);
        }
    }

    /// Judges. `epochs` were read behind the rows.
    pub fn finish(mut self, epochs: &[EpochRow]) -> Verdict {
        if let Some(end) = self.owners(epochs) {
            return Verdict::EndsBefore(end);
        }
        self.ends(epochs);
        self.head();
        let due = self.due();
        for (seq, state) in std::mem::take(&mut self.states) {
            let expected = self.expected.remove(Object::State(seq));
            let stored = Value::State(state);
            let newer = matches!(&stored, Value::State(state) if state.rev > self.last());
            if !newer && expected.as_ref() != Some(&stored) {
                self.differs(Object::State(seq), Some(&stored), What::StateDiffers);
            }
        }
        for (seq, by) in std::mem::take(&mut self.unchanged) {
            if by <= due {
                self.find(seq, What::StateMissing { by });
            }
        }
        for (seq, by) in std::mem::take(&mut self.left) {
            if by <= due {
                self.find(seq, What::TextLeft { by });
            }
        }
        for (object, expected) in self.expected.rest() {
            match (object, expected) {
                (Object::Member(user), _) => {
                    self.differs(object, None, What::MemberMissing { user });
                }
                (Object::Mention(_, user), Value::Mention(true)) => {
                    self.differs(object, None, What::MentionMissing { user });
                }
                // What was withdrawn may as well never have been noted; states
                // and the record were compared.
                _ => {}
            }
        }
        self.findings.sort_by_key(|finding| finding.seq);
        Verdict::Judged(self.findings)
    }

    /// Entries up to here have all their effects.
    fn due(&self) -> u64 {
        let last = self.last();
        let clean = self
            .head
            .is_some_and(|head| head.is_clean() && head.seq == last);
        match clean {
            true => last,
            false => last.saturating_sub(ACTIVATION_ROWS),
        }
    }

    fn counts_at(&self, seq: u64) -> Option<(u64, u64)> {
        let index = usize::try_from(seq.checked_sub(1)?).ok()?;
        let (mno, ano) = self.counts.get(index)?;
        Some((u64::from(*mno), u64::from(*ano)))
    }

    /// The running numbers at the next row; goes on from what it says.
    fn counted(&mut self, entry: Option<&Entry>, row: &LogRow) -> (u32, u32) {
        let (mno, ano) = self.counts_at(self.last()).unwrap_or_default();
        if let Some(entry) = entry {
            let counted = [
                ("mno", row.mno, mno + u64::from(entry.body.is_message())),
                ("ano", row.ano, ano + u64::from(entry.body.mentions_all())),
            ];
            for (column, stored, counted) in counted {
                if stored != counted {
                    let what = What::Count {
                        column,
                        stored,
                        counted,
                    };
                    self.find(row.seq, what);
                }
            }
        }
        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        (narrow(row.mno), narrow(row.ano))
    }

    fn replayed(&mut self, row: &LogRow, entry: Entry, state: MessageState) {
        for first in self.keys.add(row, &entry) {
            self.find(row.seq, What::KeyTwice { first });
        }
        if self.head.is_some_and(|head| head.seq == row.seq) {
            self.head_at = Some(entry.at);
        }
        match &entry.body {
            Body::MessageSent(sent) if !sent.text.is_empty() => {
                self.texts
                    .extend((!row.state.is_empty()).then_some(row.seq));
            }
            Body::MessageEdited(edited) => {
                self.texts
                    .extend((!edited.text.is_empty()).then_some(row.seq));
                self.changes(edited.message.seq, row.seq);
            }
            Body::MessageDeleted(deleted) => {
                for seq in std::iter::once(&deleted.message.seq).chain(&deleted.edits) {
                    if self.texts.contains(seq) {
                        self.left.push((*seq, row.seq));
                    }
                }
                self.changes(deleted.message.seq, row.seq);
            }
            Body::ReactionsChanged(changed) => self.changes(changed.message.seq, row.seq),
            Body::MessageSent(_)
            | Body::Created(_)
            | Body::MemberAdded { .. }
            | Body::MemberUpdated { .. }
            | Body::MemberRemoved { .. }
            | Body::MembersMoved { .. }
            | Body::ConversationUpdated(_)
            | Body::ConversationDeleted => {}
        }
        // Only what was changed can be compared; the others stay empty.
        let kept = !row.state.is_empty();
        if kept {
            self.states.insert(row.seq, state);
        }
        let effects = self.replay.apply(row, entry, kept);
        if effects
            .and_then(|effects| self.expected.take(row.seq, effects))
            .is_err()
        {
            self.find(row.seq, What::Damaged { part: "the entry" });
        }
    }

    fn changes(&mut self, target: u64, by: u64) {
        if !self.states.contains_key(&target) && self.unchanged.len() < FINDINGS_PER_LOG_MAX {
            self.unchanged.push((target, by));
        }
    }

    /// Whether each epoch owns what it wrote. A row behind what is confirmed
    /// that belongs to nobody ends the log.
    fn owners(&mut self, epochs: &[EpochRow]) -> Option<u64> {
        let mut begun: Vec<(u64, u64)> = epochs
            .iter()
            .filter_map(|row| Some((row.epoch, row.begins_at()?)))
            .collect();
        begun.sort_unstable();
        for pair in begun.windows(2) {
            if let [(earlier, first), (epoch, next)] = *pair
                && next < first
            {
                self.find(next, What::EpochsOverlap { epoch, earlier });
            }
        }
        let newest = begun.last().copied();
        let confirmed = self.head.map_or(0, |head| head.seq);
        for (epoch, first, last) in std::mem::take(&mut self.ranges) {
            let within = begun.iter().map(|(_, seq)| *seq);
            let within = within.filter(|seq| (first + 1..=last).contains(seq));
            for seq in std::iter::once(first).chain(within) {
                let owner = owner_of(seq, epochs);
                if owner == Some(epoch) {
                    continue;
                }
                let is_open = newest.is_none_or(|(_, first)| seq >= first) && seq > confirmed;
                if is_open && seq > 1 {
                    return Some(seq);
                }
                self.find(seq, What::ForeignEpoch { epoch, owner });
            }
        }
        None
    }

    fn ends(&mut self, epochs: &[EpochRow]) {
        let begun = epochs.iter().filter_map(EpochRow::begins_at).max();
        let confirmed = begun.map_or(0, |first| first.saturating_sub(1));
        let last = self.last();
        if confirmed > last {
            self.find(last + 1, What::RowMissing { confirmed });
        } else if let (Some(gap), Some(head)) = (self.gap, self.head)
            && head.seq >= gap
        {
            let confirmed = head.seq;
            self.find(gap, What::RowMissing { confirmed });
        }
    }

    fn head(&mut self) {
        let Some(head) = self.head else { return };
        let last = self.last();
        if head.seq > last {
            if self.gap.is_none() {
                self.find(last, What::HeadAhead { head: head.seq });
            }
            return;
        }
        let counts = self.counts_at(head.seq).unwrap_or_default();
        let differs = [
            ("mno", counts.0 != head.mno),
            ("ano", counts.1 != head.ano),
            ("time", self.head_at.is_some_and(|at| at != head.at)),
            ("clean", head.clean > head.seq),
        ];
        for (column, differs) in differs {
            if differs {
                self.find(head.seq, What::HeadDiffers { column });
            }
        }
    }

    fn differs(&mut self, object: Object, stored: Option<&Value>, what: What) {
        if !self.expected.may_still_be(object, stored, self.due()) {
            let seq = match object {
                Object::State(seq) | Object::Mention(seq, _) => seq,
                Object::Member(_) | Object::Meta => 0,
            };
            self.find(seq, what);
        }
    }

    fn find(&mut self, seq: u64, what: What) {
        if self.findings.len() < FINDINGS_PER_LOG_MAX {
            let conversation = self.conversation;
            self.findings.push(Finding {
                conversation,
                seq,
                what,
            });
        }
    }
}
