//! Marks that rise, and who is named where.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use fanfare_engine::member::Marks;
use fanfare_engine::port::{Mark, MarkWrite, MarksPort, Order, PortFuture, Standing, StoreError};
use fanfare_engine::stamp::Stamp;
use fanfare_engine::unread::read_up_to;
use fanfare_protocol::{ConversationId, UserId};

use crate::cells::cell::{Column, parse, take_number};
use crate::cells::key::{Table, end_of, key, last_id};
use crate::cells::{Range, View, Write};
use crate::log::page;
use crate::members::member_row;
use crate::tables::{Tables, whole};

/// Column of a mark cell: read up to seq, with `mno` and `ano` there.
const READ: u8 = 0;
/// Column of a mark cell: delivered up to seq.
const DELIVERED: u8 = 1;
/// Value of a mention that stands (another one is withdrawn).
pub(crate) const ON: &[u8] = &[1];

impl MarksPort for Tables {
    fn marks(&self, conversation: ConversationId, user: UserId) -> PortFuture<'_, Marks> {
        Box::pin(async move {
            let parts: [&[u8]; 2] = [conversation.as_bytes(), user.as_bytes()];
            let key = key(Table::Marks, &parts);
            let cell = self.cells.fetch(move |view| view.get(&key)).await?;
            cell.map_or_else(|| Ok(Marks::default()), |cell| decode_marks(&cell))
        })
    }

    fn marks_of(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(UserId, Marks)>> {
        Box::pin(async move {
            let prefix = key(Table::Marks, &[conversation.as_bytes()]);
            let after = after.map(|id| *id.as_bytes());
            let read = move |view: &dyn View| {
                let mut found = Vec::new();
                let range = Range::of_ids(&prefix, after.as_ref());
                page(view, range, limit, |key, cell| {
                    found.push((UserId::from_bytes(last_id(key)?), decode_marks(cell)?));
                    Ok(())
                })?;
                Ok(found)
            };
            self.cells.fetch(read).await
        })
    }

    fn raise(&self, writes: Vec<MarkWrite>) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let writes = writes.into_iter().filter_map(write_of_mark).collect();
            self.cells.write(writes).await
        })
    }

    fn standings(
        &self,
        conversation: ConversationId,
        users: Vec<(UserId, Marks)>,
    ) -> PortFuture<'_, Vec<Standing>> {
        let read = move |view: &dyn View| {
            let standing = |(user, known)| standing(view, conversation, user, known);
            users.into_iter().map(standing).collect()
        };
        Box::pin(async move { self.cells.fetch(read).await })
    }
}

fn standing(
    view: &dyn View,
    conversation: ConversationId,
    user: UserId,
    known: Marks,
) -> Result<Standing, StoreError> {
    let parts: [&[u8]; 2] = [conversation.as_bytes(), user.as_bytes()];
    let member = view.get(&key(Table::MembersOf, &parts))?;
    let member = member.map(|cell| member_row(&cell)).transpose()?;
    let marks = view.get(&key(Table::Marks, &parts))?;
    let marks = marks.map_or_else(|| Ok(Marks::default()), |cell| decode_marks(&cell))?;
    let marks = marks.highest(known);
    let read_seq = member.map_or(marks.read_seq, |member| read_up_to(&member, &marks));
    Ok(Standing {
        member,
        marks,
        named: named_behind(view, conversation, user, read_seq)?,
    })
}

/// Messages above a seq that name somebody.
fn named_behind(
    view: &dyn View,
    conversation: ConversationId,
    user: UserId,
    after_seq: u64,
) -> Result<u64, StoreError> {
    let (user, conversation) = (user.as_bytes(), conversation.as_bytes());
    let after = key(
        Table::Mentions,
        &[user, conversation, &after_seq.to_be_bytes()],
    );
    let range = Range {
        from: Bound::Excluded(after),
        to: end_of(&key(Table::Mentions, &[user, conversation])),
        order: Order::Ascending,
    };
    let mut count = 0;
    view.scan(range, &mut |_, cell| {
        count += u64::from(whole(cell)? == ON);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// What a mark writes: its timestamp is its seq, so the highest stays. A
/// mark at zero says nothing.
pub(crate) fn write_of_mark(write: MarkWrite) -> Option<Write> {
    let (id, seq, numbers) = match write.mark {
        Mark::Read { seq, mno, ano } => (READ, seq, vec![seq, mno, ano]),
        Mark::Delivered { seq } => (DELIVERED, seq, vec![seq]),
    };
    let parts: [&[u8]; 2] = [write.conversation.as_bytes(), write.user.as_bytes()];
    let value: Vec<u8> = numbers.into_iter().flat_map(u64::to_be_bytes).collect();
    (seq > 0).then(|| Write::Put {
        key: key(Table::Marks, &parts),
        columns: vec![Column {
            id,
            stamp: Stamp::of_mark(seq),
            value: Bytes::from(value),
        }],
    })
}

fn decode_marks(cell: &[u8]) -> Result<Marks, StoreError> {
    let mut marks = Marks::default();
    for column in parse(cell)? {
        let mut rest = column.value;
        if column.id == READ {
            marks.read_seq = take_number(&mut rest)?;
            marks.read_mno = take_number(&mut rest)?;
            marks.read_ano = take_number(&mut rest)?;
        } else if column.id == DELIVERED {
            marks.delivered_seq = take_number(&mut rest)?;
        }
    }
    Ok(marks)
}
