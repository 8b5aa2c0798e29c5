//! Looking up where asked marks may go, writing what rises, answering.
//! Everything here runs outside the actor's handler.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare_engine::member::Marks;
use fanfare_engine::port::{Mark, MarkWrite, MarksPort as _, Order, RowRange, StoreError};
use fanfare_engine::row::HeadRow;
use fanfare_engine::unread::read_up_to;
use fanfare_protocol::limits::MARK_READS_AT_ONCE;
use fanfare_protocol::mark::MarkKind;
use fanfare_protocol::{ConversationId, Refusal, UserId};
use futures_util::future::try_join_all;

use super::handle::{Asked, MarksParts, Wish};
use super::own::OwnMark;

/// An asked mark that rises.
pub(super) struct Rising {
    pub asked: Asked,
    pub write: MarkWrite,
}

/// What was written.
#[derive(Default)]
pub(super) struct Flushed {
    /// Asked marks that are durable now.
    pub rose: Vec<MarkWrite>,
}

/// Clamps the asked marks of one conversation. Those that do not rise, or
/// cannot, are answered; the others come back.
pub(super) async fn look_up(
    parts: &MarksParts,
    conversation: ConversationId,
    asked: Vec<Asked>,
) -> Vec<Rising> {
    let wishes = asked.iter().map(|asked| asked.wish).collect();
    let found = match find(parts, conversation, wishes).await {
        Ok(found) => found,
        Err(refusal) => {
            for asked in asked {
                asked.answer(Err(refusal.clone()));
            }
            return Vec::new();
        }
    };
    let mut rising = Vec::with_capacity(asked.len());
    for asked in asked {
        let before = found.before(&asked.wish);
        match found.mark(&asked.wish) {
            Some(mark) => {
                let user = asked.wish.user;
                rising.push(Rising {
                    asked,
                    write: MarkWrite {
                        conversation,
                        user,
                        mark,
                    },
                });
            }
            None => {
                let stands = stands(&asked.wish, &before);
                asked.answer(Ok(stands));
            }
        }
    }
    rising
}

/// What marks of one conversation are clamped with.
struct Found {
    head: HeadRow,
    marks: HashMap<UserId, Marks>,
    /// `mno` and `ano` by seq.
    numbers: HashMap<u64, (u64, u64)>,
}

async fn find(
    parts: &MarksParts,
    conversation: ConversationId,
    wishes: Vec<Wish>,
) -> Result<Found, Refusal> {
    let head = parts.directory.head(conversation).await?;
    let head = head.ok_or_else(|| Refusal::not_found("conversation"))?;
    let users = wishes.iter().map(|wish| (conversation, wish.user));
    let marks = marks_of(parts, users.collect()).await?;
    let marks = marks
        .into_iter()
        .map(|((_, user), marks)| (user, marks))
        .collect();
    let numbers = HashMap::from([(head.seq, (head.mno, head.ano))]);
    let mut found = Found {
        head,
        marks,
        numbers,
    };
    let mut seqs: Vec<u64> = wishes.iter().filter_map(|wish| found.lacks(wish)).collect();
    seqs.sort_unstable();
    seqs.dedup();
    for some in seqs.chunks(MARK_READS_AT_ONCE) {
        let rows = some.iter().map(|seq| {
            parts.log.rows(RowRange {
                conversation,
                from: *seq,
                to: *seq,
                limit: 1,
                order: Order::Ascending,
            })
        });
        for row in try_join_all(rows).await?.into_iter().flatten() {
            found.numbers.insert(row.seq, (row.mno, row.ano));
        }
    }
    if seqs.iter().any(|seq| !found.numbers.contains_key(seq)) {
        tracing::error!(%conversation, "a published row is missing");
        return Err(Refusal::internal());
    }
    Ok(found)
}

impl Found {
    fn before(&self, wish: &Wish) -> Marks {
        self.marks.get(&wish.user).copied().unwrap_or_default()
    }

    /// Where a mark goes, if it rises.
    fn target(&self, wish: &Wish) -> Option<u64> {
        let seq = wish.ask.seq.min(self.head.seq);
        let visible = seq >= wish.member.from_seq.saturating_sub(1);
        (visible && seq > stands(wish, &self.before(wish))).then_some(seq)
    }

    /// The seq whose row must be read for it.
    fn lacks(&self, wish: &Wish) -> Option<u64> {
        let read = wish.ask.kind == MarkKind::Read;
        let seq = self.target(wish).filter(|_| read)?;
        (!self.numbers.contains_key(&seq)).then_some(seq)
    }

    fn mark(&self, wish: &Wish) -> Option<Mark> {
        let seq = self.target(wish)?;
        match wish.ask.kind {
            MarkKind::Delivered => Some(Mark::Delivered { seq }),
            MarkKind::Read => {
                let (mno, ano) = *self.numbers.get(&seq)?;
                Some(Mark::Read { seq, mno, ano })
            }
        }
    }
}

/// Where the mark stands; nothing before the entry that added a member is
/// unread.
fn stands(wish: &Wish, marks: &Marks) -> u64 {
    match wish.ask.kind {
        MarkKind::Delivered => marks.delivered_seq,
        MarkKind::Read => read_up_to(&wish.member, marks),
    }
}

/// Writes what rises and senders' own marks, all in one. `written` hears the
/// result before anybody is answered: the next flush need not wait for that.
pub(super) async fn flush(
    parts: Arc<MarksParts>,
    rising: Vec<Rising>,
    own: Vec<OwnMark>,
    written: impl FnOnce(Flushed),
) {
    metrics::counter!("fanfare_mark_flushes_total").increment(1);
    let rose: Vec<MarkWrite> = rising.iter().map(|rising| rising.write).collect();
    let mut writes = rose.clone();
    writes.extend(own.iter().flat_map(own_writes));
    // In a task of its own, so that even a panic is answered.
    let marks = Arc::clone(&parts.marks);
    let raised = tokio::spawn(async move { marks.raise(writes).await }).await;
    let unknown = |error: tokio::task::JoinError| StoreError::OutcomeUnknown(error.to_string());
    if let Err(error) = raised.map_err(unknown).and_then(|raised| raised) {
        tracing::warn!(%error, "marks not flushed");
        written(Flushed::default());
        let refusal = Refusal::from(error);
        for Rising { asked, .. } in rising {
            asked.answer(Err(refusal.clone()));
        }
        return;
    }
    // Counts know of a mark from one or the other, at any time.
    for own in &own {
        parts.unread.sent(own.conversation, own.user, own.marks);
    }
    parts.marks.flushed(&own);
    for write in &rose {
        if let Mark::Read { seq, mno, ano } = write.mark {
            let reached = Marks {
                read_seq: seq,
                read_mno: mno,
                read_ano: ano,
                ..Marks::default()
            };
            (parts.unread).marked(write.conversation, write.user, reached);
        }
    }
    written(Flushed { rose });
    answer(&parts, rising).await;
}

fn own_writes(own: &OwnMark) -> [MarkWrite; 2] {
    let OwnMark {
        conversation,
        user,
        marks,
    } = *own;
    let read = Mark::Read {
        seq: marks.read_seq,
        mno: marks.read_mno,
        ano: marks.read_ano,
    };
    let delivered = Mark::Delivered {
        seq: marks.delivered_seq,
    };
    [read, delivered].map(|mark| MarkWrite {
        conversation,
        user,
        mark,
    })
}

/// Answers with the marks as they stand: another device's may be higher.
async fn answer(parts: &MarksParts, rising: Vec<Rising>) {
    let keys = rising
        .iter()
        .map(|it| (it.write.conversation, it.write.user));
    let stored = marks_of(parts, keys.collect()).await;
    for Rising { asked, write } in rising {
        let found = stored
            .as_ref()
            .ok()
            .and_then(|it| it.get(&(write.conversation, write.user)));
        match found {
            Some(marks) => {
                let stands = stands(&asked.wish, marks);
                asked.answer(Ok(stands));
            }
            // Written, but nobody can say where it stands.
            None => asked.answer(Err(Refusal::outcome_unknown())),
        }
    }
}

type Key = (ConversationId, UserId);

async fn marks_of(
    parts: &MarksParts,
    mut keys: Vec<Key>,
) -> Result<HashMap<Key, Marks>, StoreError> {
    keys.sort_unstable();
    keys.dedup();
    let mut found = HashMap::with_capacity(keys.len());
    for some in keys.chunks(MARK_READS_AT_ONCE) {
        let marks = some
            .iter()
            .map(|(conversation, user)| parts.marks.marks(*conversation, *user));
        found.extend(some.iter().copied().zip(try_join_all(marks).await?));
    }
    Ok(found)
}
