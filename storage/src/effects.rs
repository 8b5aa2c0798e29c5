//! Effects as writes: absolute values under the entry's timestamp, marks
//! under the marked seq.

use bytes::Bytes;
use fanfare_engine::codec::encode;
use fanfare_engine::effect::{Effects, Set};
use fanfare_engine::port::{Mark, MarkWrite, StoreError};
use fanfare_engine::stamp::Stamp;

use crate::cells::Write;
use crate::cells::cell::Column;
use crate::cells::key::{Table, key};
use crate::log::{ENTRY, row_key};
use crate::marks::{ON, write_of_mark};
use crate::tables::put;

/// What effects write, in their order.
pub(crate) fn writes_of(effects: &Effects) -> Result<Vec<Write>, StoreError> {
    let mut writes = Vec::with_capacity(effects.list.len() * 2);
    let conversation = effects.conversation;
    for effect in &effects.list {
        let stamp = Stamp::new(effects.epoch, effect.seq);
        match &effect.set {
            Set::State { target, state } => {
                let key = row_key(Table::State, conversation, *target);
                writes.push(put(key, stamp, state.clone()));
            }
            Set::Emptied { target, entry } => writes.push(Write::Put {
                key: row_key(Table::Log, conversation, *target),
                columns: vec![Column {
                    id: ENTRY,
                    stamp,
                    value: entry.clone(),
                }],
            }),
            Set::Member { user, row } => {
                let (here, there) = (conversation.as_bytes(), user.as_bytes());
                let row = encode(row)?;
                let of_conversation = key(Table::MembersOf, &[here, there]);
                writes.push(put(of_conversation, stamp, row.clone()));
                writes.push(put(key(Table::ConversationsOf, &[there, here]), stamp, row));
            }
            Set::Meta(meta) => {
                let key = key(Table::Meta, &[conversation.as_bytes()]);
                writes.push(put(key, stamp, encode(&**meta)?));
            }
            Set::Mention { user, message, on } => {
                let parts: [&[u8]; 3] = [
                    user.as_bytes(),
                    conversation.as_bytes(),
                    &message.to_be_bytes(),
                ];
                let value: &'static [u8] = if *on { ON } else { &[0] };
                let key = key(Table::Mentions, &parts);
                writes.push(put(key, stamp, Bytes::from_static(value)));
            }
            Set::Mark { user, marks } => {
                let read = Mark::Read {
                    seq: marks.read_seq,
                    mno: marks.read_mno,
                    ano: marks.read_ano,
                };
                let delivered = Mark::Delivered {
                    seq: marks.delivered_seq,
                };
                for mark in [read, delivered] {
                    let user = *user;
                    writes.extend(write_of_mark(MarkWrite {
                        conversation,
                        user,
                        mark,
                    }));
                }
            }
        }
    }
    Ok(writes)
}
