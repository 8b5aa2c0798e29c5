//! Senders' own marks: known from the moment their message is published,
//! durable a little later (should the process die in between, the next
//! activation repeats them). Bounded by `marks_waiting_max`.
//!
//! **Invariant:** who reads marks through [`OwnMarks`] never finds a sender's
//! own message unread.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare_engine::member::Marks;
use fanfare_engine::port::{MarkWrite, MarksPort, PortFuture, Standing};
use fanfare_protocol::limits::OWN_MARKS_MESSAGES;
use fanfare_protocol::{ConversationId, Limits, UserId};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// One sender's own mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnMark {
    pub conversation: ConversationId,
    pub user: UserId,
    pub marks: Marks,
}

/// See the module: a port over the store's.
pub struct OwnMarks {
    stored: Arc<dyn MarksPort>,
    waiting: Mutex<Waiting>,
    empty: Notify,
    waiting_max: usize,
}

/// What is to be done about own marks that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// Somebody looks after them already.
    Nobody,
    /// Flush them in a while.
    Later,
    /// Flush them now: an activation repeats no more than the newest entries.
    Now,
}

#[derive(Default)]
struct Waiting {
    conversations: HashMap<ConversationId, Senders>,
    count: usize,
    /// Somebody looks after it already.
    armed: bool,
}

#[derive(Default)]
struct Senders {
    marks: HashMap<UserId, Marks>,
    /// Messages since they were last taken to be written.
    messages: u64,
}

impl OwnMarks {
    /// No marks yet, over those that are stored.
    pub fn over(stored: Arc<dyn MarksPort>, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            stored,
            waiting: Mutex::default(),
            empty: Notify::new(),
            waiting_max: limits.marks_waiting_max,
        })
    }

    /// Waits until every one is durable.
    pub async fn settled(&self) {
        loop {
            let empty = self.empty.notified();
            tokio::pin!(empty);
            empty.as_mut().enable();
            if self.is_empty() {
                return;
            }
            empty.await;
        }
    }

    /// Raises one.
    pub(super) fn add(&self, conversation: ConversationId, user: UserId, marks: Marks) -> Wake {
        let mut waiting = self.waiting.lock();
        let full = waiting.count >= self.waiting_max;
        let senders = waiting.conversations.get_mut(&conversation);
        if let Some(known) = senders.and_then(|senders| senders.marks.get_mut(&user)) {
            *known = known.highest(marks);
        } else if full {
            metrics::counter!("fanfare_own_marks_dropped_total").increment(1);
            return Wake::Nobody;
        } else {
            waiting.count += 1;
            let senders = waiting.conversations.entry(conversation).or_default();
            senders.marks.insert(user, marks);
        }
        let armed = std::mem::replace(&mut waiting.armed, true);
        let senders = waiting.conversations.entry(conversation).or_default();
        senders.messages += 1;
        match armed {
            _ if senders.messages == OWN_MARKS_MESSAGES => Wake::Now,
            true => Wake::Nobody,
            false => Wake::Later,
        }
    }

    /// Some of them, at most `limit`, to be written.
    pub(super) fn some(&self, limit: usize) -> Vec<OwnMark> {
        let mut waiting = self.waiting.lock();
        let mut some = Vec::with_capacity(waiting.count.min(limit));
        for (conversation, senders) in &mut waiting.conversations {
            let left = limit - some.len();
            if left == 0 {
                break;
            }
            senders.messages = 0;
            let marks = senders.marks.iter().take(left);
            some.extend(marks.map(|(user, marks)| OwnMark {
                conversation: *conversation,
                user: *user,
                marks: *marks,
            }));
        }
        some
    }

    /// These are durable: they wait no longer, unless they rose meanwhile.
    pub(super) fn flushed(&self, durable: &[OwnMark]) {
        let mut waiting = self.waiting.lock();
        for own in durable {
            let Some(senders) = waiting.conversations.get_mut(&own.conversation) else {
                continue;
            };
            if senders.marks.get(&own.user) != Some(&own.marks) {
                continue;
            }
            senders.marks.remove(&own.user);
            if senders.marks.is_empty() {
                waiting.conversations.remove(&own.conversation);
            }
            waiting.count -= 1;
        }
        if waiting.count == 0 {
            self.empty.notify_waiters();
        }
    }

    /// Whether some wait and nobody looks after them: from now on the caller
    /// does.
    pub(super) fn arm(&self) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.count > 0 && !std::mem::replace(&mut waiting.armed, true)
    }

    /// The caller no longer looks after them.
    pub(super) fn disarm(&self) {
        self.waiting.lock().armed = false;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.lock().count == 0
    }

    /// Those of these users that wait, in their order; zeros for others.
    pub(crate) fn of_each(&self, conversation: ConversationId, users: &[UserId]) -> Vec<Marks> {
        let waiting = self.waiting.lock();
        let senders = waiting.conversations.get(&conversation);
        let of = |user| senders.and_then(|senders| senders.marks.get(user));
        let marks = users.iter().map(|user| of(user).copied());
        marks.map(Option::unwrap_or_default).collect()
    }

    fn of(&self, conversation: ConversationId, user: UserId) -> Option<Marks> {
        let waiting = self.waiting.lock();
        let senders = waiting.conversations.get(&conversation)?;
        senders.marks.get(&user).copied()
    }
}

impl MarksPort for OwnMarks {
    fn marks(&self, conversation: ConversationId, user: UserId) -> PortFuture<'_, Marks> {
        // Asked first: what is durable in between is then found in the store.
        let own = self.of(conversation, user).unwrap_or_default();
        Box::pin(async move {
            let stored = self.stored.marks(conversation, user).await?;
            Ok(stored.highest(own))
        })
    }

    fn marks_of(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(UserId, Marks)>> {
        let waiting = self.waiting.lock();
        let senders = waiting.conversations.get(&conversation);
        let own = senders.map(|senders| senders.marks.clone());
        drop(waiting);
        Box::pin(async move {
            let mut page = self.stored.marks_of(conversation, after, limit).await?;
            let Some(mut own) = own else {
                return Ok(page);
            };
            for (user, marks) in &mut page {
                if let Some(own) = own.remove(user) {
                    *marks = marks.highest(own);
                }
            }
            // Whose first mark it is.
            page.extend(
                own.into_iter()
                    .filter(|(user, _)| after.is_none_or(|it| *user > it)),
            );
            page.sort_unstable_by_key(|(user, _)| *user);
            page.truncate(limit);
            Ok(page)
        })
    }

    fn raise(&self, writes: Vec<MarkWrite>) -> PortFuture<'_, ()> {
        self.stored.raise(writes)
    }

    fn standings(
        &self,
        conversation: ConversationId,
        mut users: Vec<(UserId, Marks)>,
    ) -> PortFuture<'_, Vec<Standing>> {
        // Asked first, as for one.
        let waiting = self.waiting.lock();
        if let Some(senders) = waiting.conversations.get(&conversation) {
            for (user, known) in &mut users {
                let own = senders.marks.get(user).copied().unwrap_or_default();
                *known = known.highest(own);
            }
        }
        drop(waiting);
        self.stored.standings(conversation, users)
    }
}
