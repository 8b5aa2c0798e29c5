//! Reading messages: history by seq, one message, its wordings.

use fanfare_engine::authorize::{Action, Standing, authorize};
use fanfare_engine::check;
use fanfare_engine::entry::Body;
use fanfare_engine::member::MemberRow;
use fanfare_engine::meta::ConversationMeta;
use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_engine::row::LogRow;
use fanfare_engine::view::message_of;
use fanfare_protocol::limits::{HISTORY_SCAN_ROWS_MAX, SCAN_ROWS};
use fanfare_protocol::message::{Message, MessageVersion};
use fanfare_protocol::{ConversationId, MessageId, Refusal, UserId};

use super::Gateway;

/// Which part of a log is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Page {
    /// Messages below this seq, the nearest ones.
    pub before: Option<u64>,
    /// Messages above this seq, the nearest ones.
    pub after: Option<u64>,
    /// Messages around this seq.
    pub around: Option<u64>,
    /// How many; default and maximum in the limits.
    pub limit: Option<usize>,
}

/// A part of a log.
#[derive(Debug)]
pub struct History {
    /// Ascending by seq.
    pub messages: Vec<Message>,
    /// The log's newest seq, read before the rows.
    pub head_seq: u64,
    /// Where to go on in the direction asked for; absent at the end.
    pub next_cursor: Option<u64>,
}

impl Gateway {
    /// Reads messages of a conversation.
    ///
    /// # Errors
    /// `not_a_member`, `not_found`, `invalid_request`, or what the store says.
    pub async fn history(
        &self,
        reader: UserId,
        conversation: ConversationId,
        page: Page,
    ) -> Result<History, Refusal> {
        let named = [page.before, page.after, page.around]
            .iter()
            .flatten()
            .count();
        if named > 1 {
            return Err(Refusal::field(
                "before",
                "only one of before, after and around",
            ));
        }
        let limit = check::page_rows(page.limit, &self.parts.limits)?;
        let head = self.parts.directory.head(conversation).await?;
        let head_seq = head.map_or(0, |head| head.seq);
        let (rows, next_cursor) = match page {
            Page {
                after: Some(after), ..
            } => {
                self.upward(conversation, after.saturating_add(1), head_seq, limit)
                    .await?
            }
            Page {
                around: Some(around),
                ..
            } => {
                let half = limit / 2;
                let (below, next) = self
                    .downward(conversation, around.min(head_seq), limit - half)
                    .await?;
                let above = around.saturating_add(1);
                let (above, _) = self.upward(conversation, above, head_seq, half).await?;
                (below.into_iter().chain(above).collect(), next)
            }
            Page { before, .. } => {
                let to = before.map_or(head_seq, |before| before.saturating_sub(1).min(head_seq));
                self.downward(conversation, to, limit).await?
            }
        };
        // Membership is read after the rows, and only then: whoever was
        // removed meanwhile gets nothing that came later.
        let member = self.readable(reader, conversation).await?;
        let from = member.from_seq;
        let messages = rows.into_iter().filter(|row| row.seq >= from);
        let messages: Result<Vec<Message>, Refusal> =
            messages.map(|row| as_message(&row, reader)).collect();
        let next_cursor = next_cursor.filter(|next| page.after.is_some() || *next > from);
        Ok(History {
            messages: messages?,
            head_seq,
            next_cursor,
        })
    }

    /// One message by id.
    ///
    /// # Errors
    /// `not_found`, `not_a_member`, or what the store says.
    pub async fn message(&self, reader: UserId, id: MessageId) -> Result<Message, Refusal> {
        let row = self.visible_row(reader, id).await?;
        as_message(&row, reader)
    }

    /// The wordings of a message, oldest first.
    ///
    /// # Errors
    /// As [`Self::message`]. Once deleted, the texts are empty.
    pub async fn versions(
        &self,
        reader: UserId,
        id: MessageId,
    ) -> Result<Vec<MessageVersion>, Refusal> {
        let row = self.visible_row(reader, id).await?;
        let state = row.state().map_err(damaged)?;
        let mut versions = Vec::with_capacity(1 + state.edits.len());
        let mut rows = vec![row];
        for seq in &state.edits {
            rows.extend(self.row(id.conversation, *seq).await?);
        }
        for row in rows {
            let entry = row.entry().map_err(damaged)?;
            let text = match entry.body {
                Body::MessageSent(sent) => sent.text,
                Body::MessageEdited(edited) => edited.text,
                _ => continue,
            };
            versions.push(MessageVersion {
                text,
                at: entry.at,
                rev: row.seq,
            });
        }
        Ok(versions)
    }

    /// The membership of somebody who may read a conversation.
    pub(super) async fn readable(
        &self,
        reader: UserId,
        conversation: ConversationId,
    ) -> Result<MemberRow, Refusal> {
        let (_, member) = self
            .standing(reader, conversation, Action::ReadHistory)
            .await?;
        member.ok_or_else(Refusal::not_a_member)
    }

    /// The record and membership of somebody who may do `action`.
    pub(super) async fn standing(
        &self,
        user: UserId,
        conversation: ConversationId,
        action: Action,
    ) -> Result<(ConversationMeta, Option<MemberRow>), Refusal> {
        let parts = &self.parts;
        let (meta, member) = match parts.directory.standing(conversation, user).await {
            Some(known) => known,
            None => {
                let meta = parts.log.meta(conversation).await?;
                let meta = meta.ok_or_else(|| Refusal::not_found("conversation"))?;
                (meta, parts.members.member(conversation, user).await?)
            }
        };
        authorize(&standing_of(&meta, member), action)?;
        Ok((meta, member.filter(MemberRow::is_active)))
    }

    async fn visible_row(&self, reader: UserId, id: MessageId) -> Result<LogRow, Refusal> {
        self.readable(reader, id.conversation).await?;
        let head = self.parts.directory.head(id.conversation).await?;
        let no_such = || Refusal::not_found("message");
        if head.is_none_or(|head| id.seq > head.seq) {
            return Err(no_such());
        }
        let row = self.row(id.conversation, id.seq).await?;
        // Membership is read after the row, as for pages.
        let member = self.readable(reader, id.conversation).await?;
        let row = row
            .filter(|row| row.seq >= member.from_seq)
            .ok_or_else(no_such)?;
        let message = row.entry().map_err(damaged)?.body.is_message();
        if row.epoch != id.epoch || !message {
            return Err(no_such());
        }
        Ok(row)
    }

    async fn row(&self, conversation: ConversationId, seq: u64) -> Result<Option<LogRow>, Refusal> {
        let range = RowRange {
            conversation,
            from: seq,
            to: seq,
            limit: 1,
            order: Order::Ascending,
        };
        Ok(self.parts.directory.rows(range).await?.pop())
    }

    /// Rows of a range: of a room that is awake hardly more than so many
    /// messages take, of the log as many as one query gives.
    async fn some(&self, range: RowRange, messages: usize) -> Result<Vec<LogRow>, StoreError> {
        let limit = messages.saturating_mul(2).min(range.limit);
        let recent = RowRange { limit, ..range };
        match self.parts.directory.recent(recent).await {
            Some(rows) => Ok(rows),
            None => self.parts.log.rows(range).await,
        }
    }

    /// Messages from `to` down, ascending, and the seq to go on before.
    pub(super) async fn downward(
        &self,
        conversation: ConversationId,
        mut to: u64,
        limit: usize,
    ) -> Result<(Vec<LogRow>, Option<u64>), Refusal> {
        let floor = to.saturating_sub(HISTORY_SCAN_ROWS_MAX);
        let mut found: Vec<LogRow> = Vec::with_capacity(limit);
        while to > floor && found.len() < limit {
            let order = Order::Descending;
            let range = RowRange {
                conversation,
                from: floor + 1,
                to,
                limit: SCAN_ROWS,
                order,
            };
            let rows = self.some(range, limit - found.len()).await?;
            let Some(lowest) = rows.last().map(|row| row.seq) else {
                break;
            };
            for row in rows {
                if found.len() < limit && is_message(&row)? {
                    found.push(row);
                }
            }
            to = lowest - 1;
        }
        let full = found.len() == limit;
        let reached = found.last().map_or(floor + 1, |row| row.seq);
        let next = if full { reached } else { floor + 1 };
        found.reverse();
        Ok((found, (next > 1).then_some(next)))
    }

    async fn upward(
        &self,
        conversation: ConversationId,
        mut from: u64,
        head: u64,
        limit: usize,
    ) -> Result<(Vec<LogRow>, Option<u64>), Refusal> {
        let ceiling = head.min(from.saturating_add(HISTORY_SCAN_ROWS_MAX));
        let mut found: Vec<LogRow> = Vec::with_capacity(limit);
        while from <= ceiling && found.len() < limit {
            let order = Order::Ascending;
            let range = RowRange {
                conversation,
                from,
                to: ceiling,
                limit: SCAN_ROWS,
                order,
            };
            let rows = self.some(range, limit - found.len()).await?;
            let Some(highest) = rows.last().map(|row| row.seq) else {
                break;
            };
            for row in rows {
                if found.len() < limit && is_message(&row)? {
                    found.push(row);
                }
            }
            from = highest + 1;
        }
        let full = found.len() == limit;
        let reached = if full {
            found.last().map_or(head, |row| row.seq)
        } else {
            ceiling
        };
        Ok((found, (reached < head).then_some(reached)))
    }
}

/// How somebody stands to a conversation.
pub(super) fn standing_of(meta: &ConversationMeta, member: Option<MemberRow>) -> Standing {
    Standing {
        kind: meta.kind,
        visibility: meta.visibility,
        join_policy: meta.join_policy,
        role: member
            .filter(MemberRow::is_active)
            .map(|member| member.role),
        former: member.is_some_and(|member| !member.is_active()),
        deleted: meta.deleted_at.is_some(),
    }
}

fn is_message(row: &LogRow) -> Result<bool, Refusal> {
    Ok(row.entry().map_err(damaged)?.body.is_message())
}

pub(super) fn as_message(row: &LogRow, reader: UserId) -> Result<Message, Refusal> {
    let (entry, state) = (row.entry().map_err(damaged)?, row.state().map_err(damaged)?);
    message_of(row, &entry, &state, Some(reader)).ok_or_else(|| Refusal::not_found("message"))
}

pub(super) fn damaged(error: fanfare_engine::codec::CodecError) -> Refusal {
    tracing::error!(%error, "stored row damaged");
    Refusal::internal()
}
