//! The log: rows, state beside them, heads, epochs, live notes.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use fanfare_engine::codec::decode;
use fanfare_engine::effect::Effects;
use fanfare_engine::meta::ConversationMeta;
use fanfare_engine::port::{Log, Order, PortFuture, RowRange, StoreError};
use fanfare_engine::row::{EpochRow, HeadRow, LogRow, bucket_of};
use fanfare_engine::secret::Fingerprint;
use fanfare_engine::stamp::Stamp;
use fanfare_protocol::{ConversationId, Timestamp};

use crate::cells::cell::{Column, parse, take, take_number};
use crate::cells::key::{Key, Table, key, last_id, last_number};
use crate::cells::{Range, View, Write};
use crate::effects::writes_of;
use crate::tables::{Tables, WHOLE, put, whole};

/// Column of a log cell: everything that never changes.
pub(crate) const FIXED: u8 = 0;
/// Column of a log cell: the entry, which a deletion empties.
pub(crate) const ENTRY: u8 = 1;

impl Log for Tables {
    fn append(&self, epoch: u64, rows: Arc<[LogRow]>) -> PortFuture<'_, ()> {
        debug_assert!(
            rows.windows(2).all(|pair| matches!(pair, [a, b]
                if a.conversation == b.conversation && bucket_of(a.seq) == bucket_of(b.seq))),
            "an append stays within one conversation and one bucket"
        );
        Box::pin(async move {
            let writes = rows.iter().flat_map(|row| writes_of_row(epoch, row));
            self.cells.write(writes.collect()).await
        })
    }

    fn apply(&self, effects: Arc<Effects>) -> PortFuture<'_, ()> {
        Box::pin(async move { self.cells.write(writes_of(&effects)?).await })
    }

    fn rows(&self, range: RowRange) -> PortFuture<'_, Vec<LogRow>> {
        Box::pin(async move { self.cells.fetch(move |view| read_rows(view, range)).await })
    }

    fn meta(&self, conversation: ConversationId) -> PortFuture<'_, Option<ConversationMeta>> {
        Box::pin(async move {
            let read = move |view: &dyn View| meta_of(view, conversation);
            self.cells.fetch(read).await
        })
    }

    fn metas(
        &self,
        conversations: Vec<ConversationId>,
    ) -> PortFuture<'_, Vec<Option<ConversationMeta>>> {
        let read = move |view: &dyn View| {
            let one = |conversation| meta_of(view, conversation);
            conversations.into_iter().map(one).collect()
        };
        Box::pin(async move { self.cells.fetch(read).await })
    }

    fn head(&self, conversation: ConversationId) -> PortFuture<'_, Option<HeadRow>> {
        Box::pin(async move {
            let read = move |view: &dyn View| head_of(view, conversation);
            self.cells.fetch(read).await
        })
    }

    fn heads(&self, conversations: Vec<ConversationId>) -> PortFuture<'_, Vec<Option<HeadRow>>> {
        let read = move |view: &dyn View| {
            let one = |conversation| head_of(view, conversation);
            conversations.into_iter().map(one).collect()
        };
        Box::pin(async move { self.cells.fetch(read).await })
    }

    fn put_head(&self, epoch: u64, head: HeadRow) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let key = key(Table::Head, &[head.conversation.as_bytes()]);
            let stamp = Stamp::new(epoch, head.seq);
            self.cells
                .write(vec![put(key, stamp, encode_head(&head))])
                .await
        })
    }

    fn put_live(
        &self,
        epoch: u64,
        slot: u16,
        conversation: ConversationId,
        at: Timestamp,
    ) -> PortFuture<'_, ()> {
        Box::pin(async move {
            // An owner writes it in order: of one epoch what comes last stays.
            let value = Bytes::copy_from_slice(&at.0.to_be_bytes());
            let note = put(live_key(slot, conversation), Stamp::new(epoch, 0), value);
            self.cells.write(vec![note]).await
        })
    }

    fn drop_live(&self, epoch: u64, slot: u16, conversation: ConversationId) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let (key, stamp) = (live_key(slot, conversation), Stamp::new(epoch, 0));
            self.cells.write(vec![Write::Remove { key, stamp }]).await
        })
    }

    fn live(
        &self,
        slot: u16,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<ConversationId>> {
        Box::pin(async move {
            let prefix = key(Table::Live, &[&slot.to_be_bytes()]);
            let after = after.map(|id| *id.as_bytes());
            let read = move |view: &dyn View| {
                let mut found = Vec::new();
                let range = Range::of_ids(&prefix, after.as_ref());
                page(view, range, limit, |key, _| {
                    found.push(ConversationId::from_bytes(last_id(key)?));
                    Ok(())
                })?;
                Ok(found)
            };
            self.cells.fetch(read).await
        })
    }

    fn epochs(&self, conversation: ConversationId) -> PortFuture<'_, Vec<EpochRow>> {
        Box::pin(async move {
            let prefix = key(Table::Epochs, &[conversation.as_bytes()]);
            let read = move |view: &dyn View| {
                let mut found = Vec::new();
                page(
                    view,
                    Range::of_ids(&prefix, None),
                    usize::MAX,
                    |key, cell| {
                        let first_seq = take_number(&mut whole(cell)?)?;
                        found.push(EpochRow {
                            conversation,
                            epoch: last_number(key)?,
                            first_seq: (first_seq != 0).then_some(first_seq),
                        });
                        Ok(())
                    },
                )?;
                Ok(found)
            };
            self.cells.fetch(read).await
        })
    }

    fn put_epoch(&self, epoch: u64, row: EpochRow) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let parts: [&[u8]; 2] = [row.conversation.as_bytes(), &row.epoch.to_be_bytes()];
            let stamp = Stamp::new(epoch, u64::from(row.first_seq.is_some()));
            let value = row.first_seq.unwrap_or(0).to_be_bytes();
            let write = put(
                key(Table::Epochs, &parts),
                stamp,
                Bytes::copy_from_slice(&value),
            );
            self.cells.write(vec![write]).await
        })
    }
}

/// Visits at most `limit` cells of a range.
pub(crate) fn page(
    view: &dyn View,
    range: Range,
    limit: usize,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if limit == 0 {
        return Ok(());
    }
    let mut left = limit;
    view.scan(range, &mut |key, cell| {
        visit(key, cell)?;
        left -= 1;
        Ok(if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })
}

/// The key of a row or its state.
pub(crate) fn row_key(table: Table, conversation: ConversationId, seq: u64) -> Key {
    key(table, &[conversation.as_bytes(), &seq.to_be_bytes()])
}

fn live_key(slot: u16, conversation: ConversationId) -> Key {
    key(Table::Live, &[&slot.to_be_bytes(), conversation.as_bytes()])
}

/// A row is one cell; its state gets a cell once there is one. Until then
/// the row's own timestamp says that its state is empty (see [`read_rows`]).
fn writes_of_row(epoch: u64, row: &LogRow) -> Vec<Write> {
    let stamp = Stamp::new(epoch, row.seq);
    let column = |id, value| Column { id, stamp, value };
    let mut writes = vec![Write::Put {
        key: row_key(Table::Log, row.conversation, row.seq),
        columns: vec![
            column(FIXED, encode_fixed(row)),
            column(ENTRY, row.entry.clone()),
        ],
    }];
    if !row.state.is_empty() {
        let key = row_key(Table::State, row.conversation, row.seq);
        writes.push(put(key, stamp, row.state.clone()));
    }
    writes
}

/// Rows of a range, each with its state if that is not older than the row:
/// an append writes every column, the state too.
fn read_rows(view: &dyn View, asked: RowRange) -> Result<Vec<LogRow>, StoreError> {
    let range = |table, from, to, order| Range {
        from: Bound::Included(row_key(table, asked.conversation, from)),
        to: Bound::Included(row_key(table, asked.conversation, to)),
        order,
    };
    let mut rows = Vec::new();
    let mut stamps = BTreeMap::new();
    let cells = range(Table::Log, asked.from, asked.to, asked.order);
    if asked.limit > 0 {
        view.scan(cells, &mut |key, cell| {
            if let Some((row, stamp)) = decode_row(asked.conversation, last_number(key)?, cell)? {
                stamps.insert(row.seq, (rows.len(), stamp));
                rows.push(row);
            }
            Ok(if rows.len() < asked.limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
    }
    let (Some((&first, _)), Some((&last, _))) = (stamps.first_key_value(), stamps.last_key_value())
    else {
        return Ok(rows);
    };
    let cells = range(Table::State, first, last, Order::Ascending);
    view.scan(cells, &mut |key, cell| {
        if let Some(&(index, written)) = stamps.get(&last_number(key)?)
            && let Some(row) = rows.get_mut(index)
        {
            for column in parse(cell)? {
                if column.id == WHOLE && column.stamp >= written {
                    row.state = Bytes::copy_from_slice(column.value);
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

fn encode_fixed(row: &LogRow) -> Bytes {
    let mut bytes = Vec::with_capacity(57);
    for number in [row.epoch, row.mno, row.ano] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.push(u8::from(row.key.is_some()) | u8::from(row.request.is_some()) << 1);
    for fingerprint in [row.key, row.request].into_iter().flatten() {
        bytes.extend_from_slice(&fingerprint.0);
    }
    bytes.into()
}

/// A row and its timestamp; none for a cell of which only the entry came.
fn decode_row(
    conversation: ConversationId,
    seq: u64,
    cell: &[u8],
) -> Result<Option<(LogRow, Stamp)>, StoreError> {
    let columns = parse(cell)?;
    let of = |id| columns.iter().find(|column| column.id == id);
    let (Some(fixed), Some(entry)) = (of(FIXED), of(ENTRY)) else {
        return Ok(None);
    };
    let mut rest = fixed.value;
    let (epoch, mno, ano) = (
        take_number(&mut rest)?,
        take_number(&mut rest)?,
        take_number(&mut rest)?,
    );
    let [flags] = take(&mut rest)?;
    let mut fingerprint = |bit: u8| match flags & bit {
        0 => Ok(None),
        _ => take(&mut rest).map(|bytes| Some(Fingerprint(bytes))),
    };
    let row = LogRow {
        conversation,
        seq,
        epoch,
        mno,
        ano,
        key: fingerprint(1)?,
        request: fingerprint(2)?,
        entry: Bytes::copy_from_slice(entry.value),
        state: Bytes::new(),
    };
    Ok(Some((row, fixed.stamp)))
}

fn encode_head(head: &HeadRow) -> Bytes {
    let mut bytes = Vec::with_capacity(48);
    for number in [head.epoch, head.seq, head.mno, head.ano, head.clean] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&head.at.0.to_be_bytes());
    bytes.into()
}

fn decode_head(conversation: ConversationId, value: &[u8]) -> Result<HeadRow, StoreError> {
    let mut rest = value;
    Ok(HeadRow {
        conversation,
        epoch: take_number(&mut rest)?,
        seq: take_number(&mut rest)?,
        mno: take_number(&mut rest)?,
        ano: take_number(&mut rest)?,
        clean: take_number(&mut rest)?,
        at: Timestamp(i64::from_be_bytes(take(&mut rest)?)),
    })
}

/// Where a conversation's owner left its log.
fn head_of(view: &dyn View, conversation: ConversationId) -> Result<Option<HeadRow>, StoreError> {
    match view.get(&key(Table::Head, &[conversation.as_bytes()]))? {
        Some(cell) => decode_head(conversation, whole(&cell)?).map(Some),
        None => Ok(None),
    }
}

/// A conversation's record.
fn meta_of(
    view: &dyn View,
    conversation: ConversationId,
) -> Result<Option<ConversationMeta>, StoreError> {
    match view.get(&key(Table::Meta, &[conversation.as_bytes()]))? {
        Some(cell) => Ok(Some(decode(whole(&cell)?)?)),
        None => Ok(None),
    }
}
