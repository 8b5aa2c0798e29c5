//! A store as the ports describe it and no better: every column keeps the
//! value with the highest stamp, nothing is atomic across rows.

use std::collections::BTreeMap;

use bytes::Bytes;
use fanfare_protocol::{ConversationId, UserId};

use crate::effect::{Effect, Set};
use crate::member::{Marks, MemberRow};
use crate::meta::ConversationMeta;
use crate::row::{EpochRow, HeadRow, LogRow};
use crate::stamp::Stamp;

/// A column: the later write wins, of equal ones the last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell<T>(Option<(Stamp, T)>);

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Cell<T> {
    fn put(&mut self, stamp: Stamp, value: T) {
        if self.0.as_ref().is_none_or(|(old, _)| *old <= stamp) {
            self.0 = Some((stamp, value));
        }
    }

    fn get(&self) -> Option<&T> {
        self.0.as_ref().map(|(_, value)| value)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Row {
    narrow: Cell<LogRow>,
    entry: Cell<Bytes>,
    state: Cell<Bytes>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    rows: BTreeMap<u64, Row>,
    members: BTreeMap<UserId, Cell<MemberRow>>,
    meta: Cell<ConversationMeta>,
    mentions: BTreeMap<(UserId, u64), Cell<bool>>,
    marks: BTreeMap<UserId, Cell<Marks>>,
    head: Cell<HeadRow>,
    epochs: BTreeMap<u64, Cell<Option<u64>>>,
}

impl Store {
    pub fn append(&mut self, epoch: u64, rows: &[LogRow]) {
        for new in rows {
            let stamp = Stamp::new(epoch, new.seq);
            let row = self.rows.entry(new.seq).or_default();
            row.narrow.put(stamp, new.clone());
            row.entry.put(stamp, new.entry.clone());
            row.state.put(stamp, new.state.clone());
        }
    }

    pub fn apply(&mut self, epoch: u64, effect: &Effect) {
        let stamp = Stamp::new(epoch, effect.seq);
        match &effect.set {
            Set::State { target, state } => {
                let row = self.rows.entry(*target).or_default();
                row.state.put(stamp, state.clone());
            }
            Set::Emptied { target, entry } => {
                let row = self.rows.entry(*target).or_default();
                row.entry.put(stamp, entry.clone());
            }
            Set::Member { user, row } => self.members.entry(*user).or_default().put(stamp, *row),
            Set::Meta(meta) => self.meta.put(stamp, (**meta).clone()),
            Set::Mention { user, message, on } => {
                let mention = self.mentions.entry((*user, *message)).or_default();
                mention.put(stamp, *on);
            }
            Set::Mark { user, marks } => {
                let mark = self.marks.entry(*user).or_default();
                mark.put(Stamp::of_mark(marks.read_seq), *marks);
            }
        }
    }

    pub fn put_head(&mut self, epoch: u64, head: HeadRow) {
        self.head.put(Stamp::new(epoch, head.seq), head);
    }

    pub fn put_epoch(&mut self, epoch: u64, first_seq: Option<u64>) {
        let stamp = Stamp::new(epoch, u64::from(first_seq.is_some()));
        self.epochs.entry(epoch).or_default().put(stamp, first_seq);
    }

    pub fn row(&self, seq: u64) -> Option<LogRow> {
        let row = self.rows.get(&seq)?;
        let mut whole = row.narrow.get()?.clone();
        whole.entry = row.entry.get()?.clone();
        whole.state = row.state.get()?.clone();
        Some(whole)
    }

    /// Rows from `from` on, gaps and all.
    pub fn rows_from(&self, from: u64) -> Vec<LogRow> {
        let seqs = self.rows.range(from..).map(|(seq, _)| *seq);
        seqs.filter_map(|seq| self.row(seq)).collect()
    }

    pub fn member(&self, user: UserId) -> Option<MemberRow> {
        self.members.get(&user)?.get().copied()
    }

    pub fn members(&self) -> Vec<(UserId, MemberRow)> {
        let row = |(user, cell): (&UserId, &Cell<MemberRow>)| Some((*user, *cell.get()?));
        self.members.iter().filter_map(row).collect()
    }

    pub fn meta(&self) -> Option<&ConversationMeta> {
        self.meta.get()
    }

    /// Whom messages name: (user, seq of the message).
    pub fn mentions(&self) -> Vec<(UserId, u64)> {
        let on = self
            .mentions
            .iter()
            .filter(|(_, on)| on.get() == Some(&true));
        on.map(|(key, _)| *key).collect()
    }

    pub fn head(&self) -> Option<HeadRow> {
        self.head.get().copied()
    }

    pub fn epochs(&self, conversation: ConversationId) -> Vec<EpochRow> {
        let row = |(epoch, cell): (&u64, &Cell<Option<u64>>)| EpochRow {
            conversation,
            epoch: *epoch,
            first_seq: cell.get().copied().flatten(),
        };
        self.epochs.iter().map(row).collect()
    }
}
