//! One conversation into the destination: everything under epoch 0, below
//! every owner's; epochs as they are; the head row last.

use std::sync::Arc;

use fanfare_engine::effect::{Effect, Effects, Set};
use fanfare_engine::member::Membership;
use fanfare_engine::port::{Mark, MarkWrite, StoreError};
use fanfare_engine::row::{HeadRow, LogRow, bucket_of};
use fanfare_protocol::limits::INBOX_MEMBERS_MAX;
use fanfare_protocol::{ConversationId, Timestamp, UserId};

use super::items::{Item, Items};
use super::record::CopyError;
use super::run::Tally;
use crate::Ports;

/// The epoch under which copies are written: that of nobody.
const NOBODY: u64 = 0;

/// Copies one conversation; gives the newest epoch it knows and its rows.
pub(super) async fn conversation(
    from: &Ports,
    to: &Ports,
    conversation: ConversationId,
    tally: &Tally,
) -> Result<(u64, u64), CopyError> {
    let mut items = Items::of(from, conversation, u64::MAX);
    let (mut head, mut epoch, mut rows) = (None, 0, 0);
    let mut is_noted = false;
    while let Some(item) =
        (tally.again(async || items.next().await).await).map_err(CopyError::from)?
    {
        match &item {
            // Until it is there, the log in the destination is not whole.
            Item::Head(row) => head = Some(*row),
            Item::Rows(page) => {
                rows += page.len() as u64;
                epoch = page.iter().map(|row| row.epoch).fold(epoch, u64::max);
                tally.add_rows(page.len());
            }
            Item::Epochs(epochs) => {
                epoch = epochs.iter().map(|row| row.epoch).fold(epoch, u64::max)
            }
            Item::Record(meta) => is_noted = meta.member_count <= INBOX_MEMBERS_MAX,
            Item::Members(members) => {
                let at = head.filter(HeadRow::is_clean).map(|head| head.at);
                if let Some(at) = at.filter(|_| is_noted) {
                    let touched = touch(to, conversation, members, at, tally).await;
                    touched.map_err(CopyError::to)?;
                }
            }
            Item::Mentions(_) | Item::Marks(_) => {}
        }
        write(to, conversation, item, tally)
            .await
            .map_err(CopyError::to)?;
    }
    if let Some(head) = head {
        let put = tally.again(|| put_head(to, head));
        put.await.map_err(CopyError::to)?;
    }
    Ok((epoch, rows))
}

/// Hints of activity: left clean, a log was not active later than its head.
async fn touch(
    to: &Ports,
    conversation: ConversationId,
    members: &[Membership],
    at: Timestamp,
    tally: &Tally,
) -> Result<(), StoreError> {
    let active = members.iter().filter(|member| member.row.is_active());
    let users: Vec<UserId> = active.map(|member| member.user).collect();
    let touch = tally.again(|| to.inbox.touch(conversation, users.clone(), at));
    touch.await
}

fn put_head(to: &Ports, head: HeadRow) -> fanfare_engine::port::PortFuture<'_, ()> {
    to.log.put_head(NOBODY, head)
}

async fn write(
    to: &Ports,
    conversation: ConversationId,
    item: Item,
    tally: &Tally,
) -> Result<(), StoreError> {
    let effects = match item {
        Item::Head(_) => return Ok(()),
        Item::Rows(rows) => return append(to, rows, tally).await,
        Item::Epochs(epochs) => {
            for row in epochs {
                tally.again(|| to.log.put_epoch(NOBODY, row)).await?;
            }
            return Ok(());
        }
        Item::Marks(marks) => {
            let marks = marks.into_iter().flat_map(|(user, marks)| {
                let read = Mark::Read {
                    seq: marks.read_seq,
                    mno: marks.read_mno,
                    ano: marks.read_ano,
                };
                let seq = marks.delivered_seq;
                [read, Mark::Delivered { seq }].map(|mark| MarkWrite {
                    conversation,
                    user,
                    mark,
                })
            });
            let marks: Vec<_> = marks.collect();
            return tally.again(|| to.marks.raise(marks.clone())).await;
        }
        Item::Record(meta) => vec![Effect {
            seq: meta.rev,
            set: Set::Meta(meta),
        }],
        Item::Members(members) => {
            let members = members.into_iter().map(|member| Effect {
                seq: member.row.changed_seq,
                set: Set::Member {
                    user: member.user,
                    row: member.row,
                },
            });
            members.collect()
        }
        Item::Mentions(mentions) => {
            let mentions = mentions.into_iter().map(|(user, message, on)| Effect {
                seq: message,
                set: Set::Mention { user, message, on },
            });
            mentions.collect()
        }
    };
    let effects = Arc::new(Effects {
        conversation,
        epoch: NOBODY,
        list: effects,
    });
    tally.again(|| to.log.apply(Arc::clone(&effects))).await
}

/// Writes rows, each bucket by itself.
async fn append(to: &Ports, rows: Vec<LogRow>, tally: &Tally) -> Result<(), StoreError> {
    let mut rest = rows;
    while let Some(bucket) = rest.first().map(|row| bucket_of(row.seq)) {
        let end = rest.partition_point(|row| bucket_of(row.seq) == bucket);
        let behind = rest.split_off(end);
        let rows: Arc<[LogRow]> = rest.into();
        tally
            .again(|| to.log.append(NOBODY, Arc::clone(&rows)))
            .await?;
        rest = behind;
    }
    Ok(())
}
