//! The log: rows in buckets, heads, epochs, live notes.
//!
//! Logs are dense and a bucket begins only when the one before is full and
//! the head row says so. Therefore a read upwards ends at the first bucket
//! whose last row is missing, and a read downwards begins at the bucket
//! behind the head row's at the latest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use fanfare_engine::codec::decode;
use fanfare_engine::effect::Effects;
use fanfare_engine::meta::ConversationMeta;
use fanfare_engine::port::{Log, Order, PortFuture, RowRange, StoreError};
use fanfare_engine::row::{EpochRow, HeadRow, LogRow, bucket_of};
use fanfare_engine::secret::Fingerprint;
use fanfare_engine::stamp::Stamp;
use fanfare_protocol::limits::{BUCKET_ROWS, CQL_PAGE_ROWS, LIVE_NOTES_FROM_MS};
use fanfare_protocol::{ConversationId, Timestamp};

use super::error::damaged;
use super::run::{Put, rows_of};
use super::store::Rows;
use super::value::Value;

impl Log for Rows {
    fn append(&self, epoch: u64, rows: Arc<[LogRow]>) -> PortFuture<'_, ()> {
        debug_assert!(
            rows.windows(2).all(|pair| matches!(pair, [a, b]
                if a.conversation == b.conversation && bucket_of(a.seq) == bucket_of(b.seq))),
            "an append stays within one conversation and one bucket"
        );
        Box::pin(async move {
            let puts = rows.iter().map(|row| self.put_of_row(epoch, row));
            self.write_partition(puts.collect()).await
        })
    }

    fn apply(&self, effects: Arc<Effects>) -> PortFuture<'_, ()> {
        Box::pin(async move { self.write(self.puts_of(&effects)?).await })
    }

    fn rows(&self, range: RowRange) -> PortFuture<'_, Vec<LogRow>> {
        Box::pin(async move {
            match range.order {
                Order::Ascending => self.rows_up(range).await,
                Order::Descending => self.rows_down(range).await,
            }
        })
    }

    fn meta(&self, conversation: ConversationId) -> PortFuture<'_, Option<ConversationMeta>> {
        Box::pin(async move {
            let asked = vec![conversation.into()];
            let answer = self.read(&self.statements.meta, asked).await?;
            let row = answer
                .maybe_first_row::<(Option<Bytes>,)>()
                .map_err(damaged)?;
            match row.and_then(|(meta,)| meta) {
                Some(meta) => Ok(Some(decode(&meta)?)),
                None => Ok(None),
            }
        })
    }

    fn metas(
        &self,
        conversations: Vec<ConversationId>,
    ) -> PortFuture<'_, Vec<Option<ConversationMeta>>> {
        Box::pin(self.read_each(conversations, |conversation| self.meta(conversation)))
    }

    fn head(&self, conversation: ConversationId) -> PortFuture<'_, Option<HeadRow>> {
        Box::pin(async move {
            let asked = vec![conversation.into()];
            let answer = self.read(&self.statements.head, asked).await?;
            let row = answer.maybe_first_row::<(i64, i64, i64, i64, i64, i64)>();
            let Some((epoch, seq, mno, ano, clean, at)) = row.map_err(damaged)? else {
                return Ok(None);
            };
            Ok(Some(HeadRow {
                conversation,
                epoch: number(epoch)?,
                seq: number(seq)?,
                mno: number(mno)?,
                ano: number(ano)?,
                at: Timestamp(at),
                clean: number(clean)?,
            }))
        })
    }

    fn heads(&self, conversations: Vec<ConversationId>) -> PortFuture<'_, Vec<Option<HeadRow>>> {
        Box::pin(self.read_each(conversations, |conversation| self.head(conversation)))
    }

    fn put_head(&self, epoch: u64, head: HeadRow) -> PortFuture<'_, ()> {
        let mut values = vec![head.conversation.into()];
        let numbers = [head.epoch, head.seq, head.mno, head.ano, head.clean];
        values.extend(numbers.map(Value::number));
        values.push(Value::Number(head.at.0));
        values.push(Stamp::new(epoch, head.seq).into());
        let statement = &self.statements.put_head;
        let partition = Vec::new();
        Box::pin(self.write_partition(vec![Put {
            statement,
            partition,
            values,
        }]))
    }

    fn put_live(
        &self,
        epoch: u64,
        slot: u16,
        conversation: ConversationId,
        at: Timestamp,
    ) -> PortFuture<'_, ()> {
        let stamp = self.next_note(epoch, Some(at));
        let put = Put {
            statement: &self.statements.put_live,
            partition: Vec::new(),
            values: vec![
                slot_value(slot),
                conversation.into(),
                Value::Number(at.0),
                stamp.into(),
            ],
        };
        Box::pin(self.write_partition(vec![put]))
    }

    fn drop_live(&self, epoch: u64, slot: u16, conversation: ConversationId) -> PortFuture<'_, ()> {
        let stamp = self.next_note(epoch, None);
        let put = Put {
            statement: &self.statements.drop_live,
            partition: Vec::new(),
            values: vec![stamp.into(), slot_value(slot), conversation.into()],
        };
        Box::pin(self.write_partition(vec![put]))
    }

    fn live(
        &self,
        slot: u16,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<ConversationId>> {
        Box::pin(async move {
            let mut after = after_bytes(after.map(|id| *id.as_bytes()));
            let mut found = Vec::new();
            while found.len() < limit {
                let asked = page_rows(limit - found.len());
                let values = vec![slot_value(slot), after.into(), Value::Int(asked)];
                let answer = self.read(&self.statements.live, values).await?;
                let page: Vec<(Bytes,)> = rows_of(&answer)?;
                let ended = page.len() < asked as usize;
                for (id,) in &page {
                    found.push(ConversationId::from_bytes(id_of(id)?));
                }
                after = page.last().map(|(id,)| id.clone()).unwrap_or_default();
                if ended {
                    break;
                }
            }
            Ok(found)
        })
    }

    fn epochs(&self, conversation: ConversationId) -> PortFuture<'_, Vec<EpochRow>> {
        Box::pin(async move {
            let (mut found, mut after) = (Vec::new(), -1);
            loop {
                let asked = page_rows(usize::MAX);
                let values = vec![conversation.into(), Value::Number(after), Value::Int(asked)];
                let answer = self.read(&self.statements.epochs, values).await?;
                let page: Vec<(i64, i64)> = rows_of(&answer)?;
                let ended = page.len() < asked as usize;
                for (epoch, first_seq) in page {
                    let first_seq = number(first_seq)?;
                    after = epoch;
                    found.push(EpochRow {
                        conversation,
                        epoch: number(epoch)?,
                        first_seq: (first_seq != 0).then_some(first_seq),
                    });
                }
                if ended {
                    return Ok(found);
                }
            }
        })
    }

    fn put_epoch(&self, epoch: u64, row: EpochRow) -> PortFuture<'_, ()> {
        let stamp = Stamp::new(epoch, u64::from(row.first_seq.is_some()));
        let put = Put {
            statement: &self.statements.put_epoch,
            partition: Vec::new(),
            values: vec![
                row.conversation.into(),
                Value::number(row.epoch),
                Value::number(row.first_seq.unwrap_or(0)),
                stamp.into(),
            ],
        };
        Box::pin(self.write_partition(vec![put]))
    }
}

/// A row as it is stored. Every column is nullable: an effect may lie where
/// no row is yet.
type Stored = (
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<Bytes>,
    Option<Bytes>,
    Option<Bytes>,
    Option<Bytes>,
);

impl Rows {
    /// A whole row: absent is an empty value, never null, which would be a
    /// grave.
    fn put_of_row(&self, epoch: u64, row: &LogRow) -> Put<'_> {
        let print = |print: &Option<Fingerprint>| match print {
            Some(print) => Value::Id(print.0),
            None => Value::Bytes(Bytes::new()),
        };
        Put {
            statement: &self.statements.put_row,
            partition: Vec::new(),
            values: vec![
                row.conversation.into(),
                Value::number(bucket_of(row.seq)),
                Value::number(row.seq),
                Value::number(row.epoch),
                Value::number(row.mno),
                Value::number(row.ano),
                print(&row.key),
                print(&row.request),
                row.entry.clone().into(),
                row.state.clone().into(),
                Stamp::new(epoch, row.seq).into(),
            ],
        }
    }

    async fn rows_up(&self, range: RowRange) -> Result<Vec<LogRow>, StoreError> {
        let (mut found, mut from) = (Vec::new(), range.from.max(1));
        while from <= range.to && found.len() < range.limit {
            let end = end_of_bucket(bucket_of(from));
            let asked = page_rows(range.limit - found.len());
            let page = self.page(range, from, range.to.min(end), asked).await?;
            let Some(last) = page.last().map(|(seq, _)| *seq) else {
                break;
            };
            let short = page.len() < asked as usize;
            found.extend(page.into_iter().filter_map(|(_, row)| row));
            if short && last != end {
                break;
            }
            from = last.saturating_add(1);
        }
        Ok(found)
    }

    async fn rows_down(&self, range: RowRange) -> Result<Vec<LogRow>, StoreError> {
        let (mut found, from) = (Vec::new(), range.from.max(1));
        if range.limit == 0 || from > range.to {
            return Ok(found);
        }
        let mut to = range.to;
        // Most ranges end within the first bucket or just above where they
        // begin; only an open one needs to know where the log ends.
        if bucket_of(to) > bucket_of(from).saturating_add(1) {
            let head = self
                .head(range.conversation)
                .await?
                .map_or(0, |head| head.seq);
            to = to.min(end_of_bucket(bucket_of(head).saturating_add(1)));
        }
        while to >= from && found.len() < range.limit {
            let start = bucket_of(to) * BUCKET_ROWS + 1;
            let asked = page_rows(range.limit - found.len());
            let page = self.page(range, from.max(start), to, asked).await?;
            let last = page.last().map(|(seq, _)| *seq);
            let short = page.len() < asked as usize;
            found.extend(page.into_iter().filter_map(|(_, row)| row));
            to = match last {
                Some(last) if !short => last.saturating_sub(1),
                _ => start.saturating_sub(1),
            };
            if to == 0 {
                break;
            }
        }
        Ok(found)
    }

    /// One page of one bucket: seqs, and rows that are more than an effect.
    async fn page(
        &self,
        range: RowRange,
        from: u64,
        to: u64,
        asked: i32,
    ) -> Result<Vec<(u64, Option<LogRow>)>, StoreError> {
        let statement = match range.order {
            Order::Ascending => &self.statements.rows_up,
            Order::Descending => &self.statements.rows_down,
        };
        let values = vec![
            range.conversation.into(),
            Value::number(bucket_of(from)),
            Value::number(from),
            Value::number(to),
            Value::Int(asked),
        ];
        let answer = self.read(statement, values).await?;
        let mut page = Vec::new();
        for stored in rows_of::<Stored>(&answer)? {
            let seq = number(stored.0)?;
            page.push((seq, row_of(range.conversation, seq, stored)?));
        }
        Ok(page)
    }

    /// The stamp of the next note under an epoch: above all of this process,
    /// and of those before it.
    fn next_note(&self, epoch: u64, at: Option<Timestamp>) -> Stamp {
        let floor = at.map_or(0, |at| at.0.saturating_sub(LIVE_NOTES_FROM_MS));
        let floor = u64::try_from(floor).unwrap_or(0);
        let mut number = 0;
        let next = |last: u64| {
            number = last.saturating_add(1).max(floor);
            Some(number)
        };
        let _ = self
            .notes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        Stamp::new(epoch, number)
    }
}

fn row_of(
    conversation: ConversationId,
    seq: u64,
    stored: Stored,
) -> Result<Option<LogRow>, StoreError> {
    let (_, epoch, mno, ano, key, request, entry, state) = stored;
    let (Some(epoch), Some(mno), Some(ano), Some(entry)) = (epoch, mno, ano, entry) else {
        return Ok(None);
    };
    Ok(Some(LogRow {
        conversation,
        seq,
        epoch: number(epoch)?,
        mno: number(mno)?,
        ano: number(ano)?,
        key: print_of(key)?,
        request: print_of(request)?,
        entry,
        state: state.unwrap_or_default(),
    }))
}

fn print_of(stored: Option<Bytes>) -> Result<Option<Fingerprint>, StoreError> {
    match stored {
        Some(print) if !print.is_empty() => id_of(&print).map(|id| Some(Fingerprint(id))),
        _ => Ok(None),
    }
}

fn end_of_bucket(bucket: u64) -> u64 {
    bucket.saturating_add(1).saturating_mul(BUCKET_ROWS)
}

/// A slot's number.
pub(crate) fn slot_value(slot: u16) -> Value {
    Value::Small(i16::try_from(slot).unwrap_or(i16::MAX))
}

/// Where a page of ids begins: behind this one, or behind nothing.
pub(crate) fn after_bytes(after: Option<[u8; 16]>) -> Bytes {
    after.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id))
}

/// Rows to ask for when `left` are wanted.
pub(crate) fn page_rows(left: usize) -> i32 {
    i32::try_from(left.min(CQL_PAGE_ROWS)).unwrap_or(i32::MAX)
}

/// A stored number that is never negative.
pub(crate) fn number(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(damaged)
}

/// A stored id.
pub(crate) fn id_of(stored: &[u8]) -> Result<[u8; 16], StoreError> {
    <[u8; 16]>::try_from(stored).map_err(damaged)
}
