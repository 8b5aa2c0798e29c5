//! Effects as writes: absolute values under the entry's timestamp, marks
//! under the marked seq.

use bytes::Bytes;
use fanfare_engine::codec::encode;
use fanfare_engine::effect::{Effects, Set};
use fanfare_engine::port::{Mark, MarkWrite, StoreError};
use fanfare_engine::row::bucket_of;
use fanfare_engine::stamp::Stamp;
use scylla::statement::prepared::PreparedStatement;

use super::run::Put;
use super::store::Rows;
use super::value::Value;

impl Rows {
    /// What effects write.
    pub(crate) fn puts_of(&self, effects: &Effects) -> Result<Vec<Put<'_>>, StoreError> {
        let mut puts = Vec::with_capacity(effects.list.len() * 2);
        let (conversation, statements) = (effects.conversation, &self.statements);
        let here = conversation.as_bytes().to_vec();
        for effect in &effects.list {
            let stamp = Stamp::new(effects.epoch, effect.seq);
            let of_row = |statement, target, value: &Bytes| {
                self.put_into_row(statement, effects, stamp, target, value)
            };
            match &effect.set {
                Set::State { target, state } => {
                    puts.push(of_row(&statements.put_state, *target, state));
                }
                Set::Emptied { target, entry } => {
                    puts.push(of_row(&statements.put_entry, *target, entry));
                }
                Set::Member { user, row } => {
                    let row = Value::Bytes(encode(row)?);
                    let (conversation, user) = (Value::from(conversation), Value::from(*user));
                    let sides = [
                        (
                            &statements.put_member_of,
                            conversation.clone(),
                            user.clone(),
                        ),
                        (&statements.put_conversation_of, user, conversation),
                    ];
                    for (statement, partition, other) in sides {
                        puts.push(Put {
                            statement,
                            partition: match &partition {
                                Value::Id(id) => id.to_vec(),
                                _ => Vec::new(),
                            },
                            values: vec![partition, other, row.clone(), stamp.into()],
                        });
                    }
                }
                Set::Meta(meta) => puts.push(Put {
                    statement: &statements.put_meta,
                    partition: here.clone(),
                    values: vec![conversation.into(), encode(&**meta)?.into(), stamp.into()],
                }),
                Set::Mention { user, message, on } => puts.push(Put {
                    statement: &statements.put_mention,
                    partition: [&user.as_bytes()[..], &here].concat(),
                    values: vec![
                        (*user).into(),
                        conversation.into(),
                        Value::number(*message),
                        Value::Flag(*on),
                        stamp.into(),
                    ],
                }),
                Set::Mark { user, marks } => {
                    let read = Mark::Read {
                        seq: marks.read_seq,
                        mno: marks.read_mno,
                        ano: marks.read_ano,
                    };
                    let seq = marks.delivered_seq;
                    let user = *user;
                    for mark in [read, Mark::Delivered { seq }] {
                        puts.extend(self.put_of_mark(MarkWrite {
                            conversation,
                            user,
                            mark,
                        }));
                    }
                }
            }
        }
        Ok(puts)
    }

    fn put_into_row<'a>(
        &self,
        statement: &'a PreparedStatement,
        effects: &Effects,
        stamp: Stamp,
        target: u64,
        value: &Bytes,
    ) -> Put<'a> {
        let (conversation, bucket) = (effects.conversation, bucket_of(target));
        Put {
            statement,
            partition: [&conversation.as_bytes()[..], &bucket.to_be_bytes()].concat(),
            values: vec![
                stamp.into(),
                value.clone().into(),
                conversation.into(),
                Value::number(bucket),
                Value::number(target),
            ],
        }
    }
}
