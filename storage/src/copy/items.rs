//! One conversation as a store holds it, item by item.

use std::collections::VecDeque;

use fanfare_engine::member::{Marks, Membership};
use fanfare_engine::meta::ConversationMeta;
use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_engine::row::{EpochRow, HeadRow, LogRow};
use fanfare_protocol::limits::{COPY_READS_AT_ONCE, COPY_ROWS, SCAN_ROWS};
use fanfare_protocol::{ConversationId, UserId};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::Ports;

/// A part of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Where its owner left it.
    Head(HeadRow),
    /// Some of its rows, ascending, behind those before.
    Rows(Vec<LogRow>),
    /// All of its epochs.
    Epochs(Vec<EpochRow>),
    /// Its own record.
    Record(Box<ConversationMeta>),
    /// Some of its memberships.
    Members(Vec<Membership>),
    /// Messages that ever named a member, and whether they still do.
    Mentions(Vec<(UserId, u64, bool)>),
    /// Marks of some members.
    Marks(Vec<(UserId, Marks)>),
}

/// Reads a conversation: the head row first, then rows, then epochs, then the
/// rest, as a reader that does not own it must.
pub struct Items<'a> {
    ports: &'a Ports,
    conversation: ConversationId,
    /// Rows behind this one are left out.
    to: u64,
    at: At,
    waiting: VecDeque<Item>,
}

/// What is read next.
enum At {
    Head,
    Rows(u64),
    Epochs,
    Record,
    Members(Option<UserId>),
    Marks(Option<UserId>),
    End,
}

impl<'a> Items<'a> {
    /// Of a conversation, its rows up to seq `to`.
    pub fn of(ports: &'a Ports, conversation: ConversationId, to: u64) -> Self {
        Self {
            ports,
            conversation,
            to,
            at: At::Head,
            waiting: VecDeque::new(),
        }
    }

    /// Reads no more rows.
    pub fn skip_rows(&mut self) {
        if matches!(self.at, At::Rows(_)) {
            self.at = At::Epochs;
        }
    }

    /// The next item; none at the end.
    ///
    /// # Errors
    /// As every read. Asked again it goes on where it failed.
    pub async fn next(&mut self) -> Result<Option<Item>, StoreError> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Ok(Some(item));
            }
            if matches!(self.at, At::End) {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        let conversation = self.conversation;
        self.at = match self.at {
            At::Head => {
                let head = self.ports.log.head(conversation).await?;
                self.waiting.extend(head.map(Item::Head));
                At::Rows(1)
            }
            At::Rows(from) => self.rows(from).await?,
            At::Epochs => {
                let epochs = self.ports.log.epochs(conversation).await?;
                self.waiting.push_back(Item::Epochs(epochs));
                At::Record
            }
            At::Record => {
                let meta = self.ports.log.meta(conversation).await?;
                let record = meta.map(|meta| Item::Record(Box::new(meta)));
                self.waiting.extend(record);
                At::Members(None)
            }
            At::Members(after) => self.members(after).await?,
            At::Marks(after) => {
                let marks = &self.ports.marks;
                let page = marks.marks_of(conversation, after, SCAN_ROWS).await?;
                let next = page.last().map(|(user, _)| *user);
                let ended = page.len() < SCAN_ROWS;
                self.waiting.push_back(Item::Marks(page));
                if ended { At::End } else { At::Marks(next) }
            }
            At::End => At::End,
        };
        Ok(())
    }

    async fn rows(&mut self, from: u64) -> Result<At, StoreError> {
        let range = RowRange {
            conversation: self.conversation,
            from,
            to: self.to,
            limit: COPY_ROWS,
            order: Order::Ascending,
        };
        let rows = self.ports.log.rows(range).await?;
        let next = rows.last().map(|row| row.seq.saturating_add(1));
        let ended = rows.len() < COPY_ROWS;
        self.waiting.push_back(Item::Rows(rows));
        Ok(match next {
            Some(next) if !ended => At::Rows(next),
            _ => At::Epochs,
        })
    }

    async fn members(&mut self, after: Option<UserId>) -> Result<At, StoreError> {
        let members = &self.ports.members;
        let page = members.members_of(self.conversation, after, SCAN_ROWS);
        let page = page.await?;
        let reads: Vec<_> = page
            .iter()
            .map(|member| self.mentions(member.user))
            .collect();
        let reads = stream::iter(reads).buffered(COPY_READS_AT_ONCE);
        let mentions: Vec<Vec<_>> = reads.try_collect().await?;
        let mentions: Vec<_> = mentions.into_iter().flatten().collect();
        let next = page.last().map(|member| member.user);
        let ended = page.len() < SCAN_ROWS;
        self.waiting.push_back(Item::Members(page));
        if !mentions.is_empty() {
            self.waiting.push_back(Item::Mentions(mentions));
        }
        Ok(if ended {
            At::Marks(None)
        } else {
            At::Members(next)
        })
    }

    async fn mentions(&self, user: UserId) -> Result<Vec<(UserId, u64, bool)>, StoreError> {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let census = &self.ports.census;
            let page = census.mentions_of(self.conversation, user, after, SCAN_ROWS);
            let page = page.await?;
            let ended = page.len() < SCAN_ROWS;
            after = page.last().map_or(after, |(message, _)| *message);
            found.extend(page.into_iter().map(|(message, on)| (user, message, on)));
            if ended {
                return Ok(found);
            }
        }
    }
}
