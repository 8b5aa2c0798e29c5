//! Marks that rise, and who is named where.

use bytes::Bytes;
use fanfare_engine::member::Marks;
use fanfare_engine::port::Members;
use fanfare_engine::port::{Mark, MarkWrite, MarksPort, PortFuture, Standing, StoreError};
use fanfare_engine::stamp::Stamp;
use fanfare_engine::unread::read_up_to;
use fanfare_protocol::{ConversationId, UserId};

use super::log::{after_bytes, id_of, number, page_rows};
use super::run::{Put, rows_of};
use super::store::Rows;
use super::value::Value;

/// Marks as they are stored; what was never set is null.
type Stored = (Bytes, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

impl MarksPort for Rows {
    fn marks(&self, conversation: ConversationId, user: UserId) -> PortFuture<'_, Marks> {
        Box::pin(async move {
            let asked = vec![conversation.into(), user.into()];
            let answer = self.read(&self.statements.marks, asked).await?;
            let mut rows = rows_of::<Stored>(&answer)?;
            Ok(match rows.pop() {
                Some(stored) => marks_of(&stored)?,
                None => Marks::default(),
            })
        })
    }

    fn marks_of(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(UserId, Marks)>> {
        Box::pin(async move {
            let mut after = after_bytes(after.map(|id| *id.as_bytes()));
            let mut found = Vec::new();
            while found.len() < limit {
                let asked = page_rows(limit - found.len());
                let values = vec![conversation.into(), after.into(), Value::Int(asked)];
                let answer = self.read(&self.statements.marks_of, values).await?;
                let page = rows_of::<Stored>(&answer)?;
                for stored in &page {
                    found.push((UserId::from_bytes(id_of(&stored.0)?), marks_of(stored)?));
                }
                if page.len() < asked as usize {
                    break;
                }
                after = page
                    .last()
                    .map(|stored| stored.0.clone())
                    .unwrap_or_default();
            }
            Ok(found)
        })
    }

    fn raise(&self, writes: Vec<MarkWrite>) -> PortFuture<'_, ()> {
        let puts = writes
            .into_iter()
            .filter_map(|write| self.put_of_mark(write));
        Box::pin(self.write(puts.collect()))
    }

    fn standings(
        &self,
        conversation: ConversationId,
        users: Vec<(UserId, Marks)>,
    ) -> PortFuture<'_, Vec<Standing>> {
        Box::pin(self.read_each(users, move |(user, known)| {
            self.standing(conversation, user, known)
        }))
    }
}

impl Rows {
    async fn standing(
        &self,
        conversation: ConversationId,
        user: UserId,
        known: Marks,
    ) -> Result<Standing, StoreError> {
        let member = self.member(conversation, user).await?;
        let marks = self.marks(conversation, user).await?.highest(known);
        let read_seq = member.map_or(marks.read_seq, |member| read_up_to(&member, &marks));
        Ok(Standing {
            member,
            marks,
            named: self.named_behind(conversation, user, read_seq).await?,
        })
    }

    /// Messages above a seq that name somebody.
    async fn named_behind(
        &self,
        conversation: ConversationId,
        user: UserId,
        after_seq: u64,
    ) -> Result<u64, StoreError> {
        let (mut after, mut count) = (Value::number(after_seq), 0);
        loop {
            let asked = page_rows(usize::MAX);
            let values = vec![user.into(), conversation.into(), after, Value::Int(asked)];
            let answer = self.read(&self.statements.mentions, values).await?;
            let page: Vec<(i64, bool)> = rows_of(&answer)?;
            count += page.iter().filter(|(_, named)| *named).count() as u64;
            match page.last() {
                Some((last, _)) if page.len() >= asked as usize => after = Value::Number(*last),
                _ => return Ok(count),
            }
        }
    }

    /// What a mark writes: its timestamp is its seq, so the highest stays. A
    /// mark at zero says nothing.
    pub(crate) fn put_of_mark(&self, write: MarkWrite) -> Option<Put<'_>> {
        let (statement, seq, numbers) = match write.mark {
            Mark::Read { seq, mno, ano } => (&self.statements.put_read, seq, vec![seq, mno, ano]),
            Mark::Delivered { seq } => (&self.statements.put_delivered, seq, vec![seq]),
        };
        let mut values = vec![Stamp::of_mark(seq).into()];
        values.extend(numbers.into_iter().map(Value::number));
        values.extend([Value::from(write.conversation), Value::from(write.user)]);
        (seq > 0).then(|| Put {
            statement,
            partition: write.conversation.as_bytes().to_vec(),
            values,
        })
    }
}

fn marks_of(stored: &Stored) -> Result<Marks, StoreError> {
    let of = |column: Option<i64>| number(column.unwrap_or(0));
    Ok(Marks {
        read_seq: of(stored.1)?,
        read_mno: of(stored.2)?,
        read_ano: of(stored.3)?,
        delivered_seq: of(stored.4)?,
    })
}
