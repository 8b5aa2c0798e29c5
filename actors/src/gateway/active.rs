//! A user's conversations by activity: hints say where to look, heads decide.

use std::cmp::Reverse;
use std::collections::HashMap;

use fanfare_engine::activity;
use fanfare_engine::member::Membership;
use fanfare_engine::meta::ConversationMeta;
use fanfare_engine::port::StoreError;
use fanfare_engine::row::HeadRow;
use fanfare_protocol::conversation::Kind;
use fanfare_protocol::limits::{LIST_CHUNK, SCAN_ROWS};
use fanfare_protocol::{ConversationId, Refusal, Timestamp, UserId};

use super::Gateway;

/// A live membership, and how far its conversation is.
pub(crate) struct Active {
    pub membership: Membership,
    /// Its record, if it was asked for or had to be read.
    pub meta: Option<ConversationMeta>,
    pub head: HeadRow,
}

/// What is asked about a user's conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Which there are, and how far they are.
    Places,
    /// Their records too.
    Records,
}

/// Most recent first; the id settles ties.
pub(super) type Place = (Reverse<i64>, ConversationId);

pub(super) fn order_of(active: &Active) -> Place {
    let id = active.membership.conversation;
    (Reverse(active.head.at.0), id)
}

/// A membership, and the latest time at which its conversation was active.
struct Candidate {
    latest: Timestamp,
    membership: Membership,
}

impl Gateway {
    /// A user's live memberships, most recently active first: the first
    /// `wanted` of those behind `after`, and some others. A direct
    /// conversation without a message is only in its creator's list.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn active(
        &self,
        user: UserId,
        after: Option<Place>,
        wanted: usize,
        asked: Asked,
    ) -> Result<Vec<Active>, Refusal> {
        let mut candidates = self.candidates(user, after).await?;
        candidates.sort_by_key(|it| Reverse(it.latest));
        let mut active: Vec<Active> = Vec::new();
        let mut rest = candidates.into_iter().peekable();
        while let Some(next) = rest.peek() {
            // Those that are as recent as anything that may still come.
            let behind = |it: &Active| after.is_none_or(|after| order_of(it) > after);
            let sure = |it: &&Active| it.head.at > next.latest && behind(it);
            if active.iter().filter(sure).count() >= wanted {
                break;
            }
            let chunk: Vec<Membership> = rest
                .by_ref()
                .take(LIST_CHUNK)
                .map(|it| it.membership)
                .collect();
            self.look(user, chunk, asked, &mut active).await?;
        }
        active.sort_by_key(order_of);
        Ok(active)
    }

    /// Active memberships that may be behind `after`.
    async fn candidates(
        &self,
        user: UserId,
        after: Option<Place>,
    ) -> Result<Vec<Candidate>, StoreError> {
        let parts = &self.parts;
        let mut memberships: Vec<Membership> = Vec::new();
        let mut last = None;
        loop {
            let page = (parts.members)
                .conversations_of(user, last, SCAN_ROWS)
                .await?;
            last = page.last().map(|membership| membership.conversation);
            let full = page.len() == SCAN_ROWS;
            memberships.extend(page.into_iter().filter(|it| it.row.is_active()));
            if !full || memberships.len() >= parts.limits.conversations_per_user_max {
                break;
            }
        }
        let hints = match memberships.len() > LIST_CHUNK {
            true => self.hints(user).await?,
            // All of them are looked at anyway.
            false => HashMap::new(),
        };
        let candidate = |membership: Membership| {
            let id = membership.conversation;
            let hint = hints.get(&id).copied();
            if let (Some((Reverse(after), _)), Some(hint)) = (after, hint)
                && hint < activity::ALWAYS_LOOK
                && hint.0 > after
            {
                // It was active later than where the page begins.
                return None;
            }
            let known = parts.directory.known_at(id);
            let latest = known.unwrap_or_else(|| activity::latest(hint));
            Some(Candidate { latest, membership })
        };
        Ok(memberships.into_iter().filter_map(candidate).collect())
    }

    async fn hints(&self, user: UserId) -> Result<HashMap<ConversationId, Timestamp>, StoreError> {
        let (mut hints, mut last) = (HashMap::new(), None);
        loop {
            let page = self.parts.inbox.inbox(user, last, SCAN_ROWS).await?;
            last = page.last().map(|(conversation, _)| *conversation);
            let full = page.len() == SCAN_ROWS;
            hints.extend(page);
            if !full || hints.len() >= self.parts.limits.conversations_per_user_max {
                return Ok(hints);
            }
        }
    }

    /// Finds records and heads of these: known here, or read.
    async fn look(
        &self,
        user: UserId,
        memberships: Vec<Membership>,
        asked: Asked,
        active: &mut Vec<Active>,
    ) -> Result<(), Refusal> {
        let parts = &self.parts;
        let mut unknown = Vec::new();
        for membership in memberships {
            let going_on = parts.directory.going_on(membership.conversation);
            // Whose list an empty one is in, its record says.
            let known = going_on.filter(|head| asked == Asked::Places && head.mno > 0);
            match known {
                Some(head) => active.push(Active {
                    membership,
                    meta: None,
                    head,
                }),
                None => unknown.push(membership),
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        self.read(user, unknown, active).await
    }

    /// Reads records, and what heads are not known, of these.
    async fn read(
        &self,
        user: UserId,
        memberships: Vec<Membership>,
        active: &mut Vec<Active>,
    ) -> Result<(), Refusal> {
        let parts = &self.parts;
        let ids = memberships.iter().map(|it| it.conversation).collect();
        let metas = parts.log.metas(ids).await?;
        let there = |(membership, meta): (Membership, Option<ConversationMeta>)| {
            let meta = meta.filter(|it| it.deleted_at.is_none())?;
            Some((membership, meta))
        };
        let live: Vec<_> = memberships
            .into_iter()
            .zip(metas)
            .filter_map(there)
            .collect();
        let ids: Vec<ConversationId> = live.iter().map(|it| it.0.conversation).collect();
        let heads = parts.directory.heads(&ids).await?;
        for ((membership, meta), head) in live.into_iter().zip(heads) {
            let head = match head {
                Ok(Some(head)) => head,
                Ok(None) => continue,
                // One conversation that cannot be activated must not lock
                // its members out of all others.
                Err(error) => {
                    let id = membership.conversation;
                    tracing::warn!(conversation = %id, %error, "left out of a list");
                    continue;
                }
            };
            // The other began it, and nothing was said yet.
            let silent = meta.kind == Kind::Direct && head.mno == 0;
            if silent && meta.created_by != user {
                continue;
            }
            active.push(Active {
                membership,
                meta: Some(meta),
                head,
            });
        }
        Ok(())
    }
}
