//! Reading conversations: one, a user's list, members.

use fanfare_engine::authorize::Action;
use fanfare_engine::check;
use fanfare_engine::member::{MemberRow, Membership};
use fanfare_engine::meta::ConversationMeta;
use fanfare_engine::port::Scope;
use fanfare_engine::row::HeadRow;
use fanfare_engine::view::participant;
use fanfare_protocol::conversation::{Conversation, Me};
use fanfare_protocol::message::Message;
use fanfare_protocol::participant::Participant;
use fanfare_protocol::{Code, ConversationId, Refusal, Timestamp, UserId};

use super::Gateway;
use super::active::{Asked, Place, order_of};
use super::history::as_message;
use crate::unread;

/// A page of a user's conversations, most recently active first.
pub struct Listed {
    /// Conversations.
    pub conversations: Vec<Conversation>,
    /// Give it back for the next page.
    pub next_cursor: Option<String>,
}

/// A page of a conversation's members.
pub struct ParticipantPage {
    /// Members by id.
    pub participants: Vec<Participant>,
    /// Give it back for the next page.
    pub next_cursor: Option<String>,
}

impl Gateway {
    /// A conversation as this user sees it.
    ///
    /// # Errors
    /// `not_found`, `not_a_member`, `gone`, or what the store says.
    pub async fn conversation(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<Conversation, Refusal> {
        let (meta, member) = self.standing(user, id, Action::View).await?;
        let head = self.parts.directory.head(id).await?;
        let head = head.ok_or_else(|| Refusal::not_found("conversation"))?;
        self.view(user, id, meta, member, &head).await
    }

    /// A conversation whose change was just accepted: whatever fails now,
    /// that has happened.
    ///
    /// # Errors
    /// As [`Self::conversation`], but `outcome_unknown` for `unavailable`.
    pub async fn changed_conversation(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<Conversation, Refusal> {
        let seen = self.conversation(user, id).await;
        seen.map_err(|refusal| match refusal.code {
            Code::Unavailable => Refusal::outcome_unknown(),
            _ => refusal,
        })
    }

    /// A channel by its slug.
    ///
    /// # Errors
    /// As [`Self::conversation`].
    pub async fn public_conversation_by_slug(
        &self,
        user: UserId,
        slug: &str,
    ) -> Result<Conversation, Refusal> {
        let no_such = || Refusal::not_found("conversation");
        check::slug(slug).map_err(|_| no_such())?;
        let claim = self
            .parts
            .names
            .claimed(Scope::Slug, slug.to_owned())
            .await?;
        let claim = claim
            .filter(fanfare_engine::port::ClaimRow::is_settled)
            .ok_or_else(no_such)?;
        self.conversation(user, ConversationId::from_bytes(claim.owner))
            .await
    }

    /// A user's conversations, most recently active first. The cursor names
    /// the activity it stopped at, so that a page stays right while others
    /// write.
    ///
    /// # Errors
    /// `invalid_request`, or what the store says.
    pub async fn conversations(
        &self,
        user: UserId,
        limit: Option<usize>,
        cursor: Option<String>,
    ) -> Result<Listed, Refusal> {
        let limit = check::page_rows(limit, &self.parts.limits)?;
        let after = cursor.as_deref().map(parse_cursor).transpose()?;
        // One more, to see whether there is another page.
        let asked = Asked::Records;
        let mut active = self.active(user, after, limit + 1, asked).await?;
        if let Some(after) = after {
            active.retain(|it| order_of(it) > after);
        }
        let more = active.len() > limit;
        active.truncate(limit);
        let next_cursor = active
            .last()
            .filter(|_| more)
            .map(order_of)
            .map(show_cursor);
        let mut conversations = Vec::with_capacity(active.len());
        for one in active {
            let id = one.membership.conversation;
            let member = Some(one.membership.row);
            let Some(meta) = one.meta else { continue };
            let seen = self.view(user, id, meta, member, &one.head).await?;
            conversations.push(seen);
        }
        Ok(Listed {
            conversations,
            next_cursor,
        })
    }

    /// Members of a conversation by id.
    ///
    /// # Errors
    /// `not_a_member`, `not_found`, `invalid_request`, or what the store says.
    pub async fn participants(
        &self,
        user: UserId,
        id: ConversationId,
        limit: Option<usize>,
        cursor: Option<String>,
    ) -> Result<ParticipantPage, Refusal> {
        let limit = check::page_rows(limit, &self.parts.limits)?;
        let bad = |_| Refusal::field("cursor", "not a cursor of this list");
        let mut after = cursor
            .as_deref()
            .map(str::parse::<UserId>)
            .transpose()
            .map_err(bad)?;
        let (meta, _) = self.standing(user, id, Action::ListMembers).await?;
        let marks_shown = meta.member_count <= self.parts.limits.marks_shown_members_max;
        let mut members: Vec<Membership> = Vec::with_capacity(limit);
        let mut more = true;
        while more && members.len() < limit {
            let page = self.parts.members.members_of(id, after, limit).await?;
            more = page.len() == limit;
            for membership in page {
                if members.len() == limit {
                    more = true;
                    break;
                }
                after = Some(membership.user);
                if membership.row.is_active() {
                    members.push(membership);
                }
            }
        }
        let users = members.iter().map(|membership| membership.user).collect();
        let users = self.parts.accounts.users(users).await?;
        let mut participants = Vec::with_capacity(members.len());
        for Membership {
            user: id_of, row, ..
        } in &members
        {
            let Some(known) = users.iter().find(|known| known.id == *id_of) else {
                continue;
            };
            let marks = match marks_shown {
                true => Some(self.parts.marks.marks(id, *id_of).await?),
                false => None,
            };
            participants.push(Participant {
                user: known.clone(),
                role: row.role,
                state: row.state,
                joined_at: row.joined_at,
                delivered_seq: marks.map(|marks| marks.delivered_seq),
                read_seq: marks.map(|marks| marks.read_seq),
            });
        }
        let next_cursor = after.filter(|_| more).map(|user| user.to_string());
        Ok(ParticipantPage {
            participants,
            next_cursor,
        })
    }

    /// One member of a conversation.
    ///
    /// # Errors
    /// As [`Self::participants`]; `not_found` for who is none.
    pub async fn participant(
        &self,
        user: UserId,
        id: ConversationId,
        whom: UserId,
    ) -> Result<Participant, Refusal> {
        self.standing(user, id, Action::ListMembers).await?;
        let row = self
            .parts
            .members
            .member(id, whom)
            .await?
            .filter(MemberRow::is_active);
        let row = row.ok_or_else(|| Refusal::not_found("participant"))?;
        let known = self.parts.accounts.user(whom).await?;
        Ok(participant(&known, row.role, row.joined_at))
    }

    async fn view(
        &self,
        user: UserId,
        id: ConversationId,
        meta: ConversationMeta,
        member: Option<MemberRow>,
        head: &HeadRow,
    ) -> Result<Conversation, Refusal> {
        let mut seen = Conversation {
            id,
            kind: meta.kind,
            title: meta.title,
            slug: meta.slug,
            description: meta.description,
            visibility: meta.visibility,
            join_policy: meta.join_policy,
            member_count: meta.member_count,
            head_seq: head.seq,
            last_message: None,
            me: None,
            created_at: meta.created_at,
        };
        if let Some(member) = member {
            let counted = unread::count(&*self.parts.marks, id, user, &member, head).await?;
            seen.me = Some(Me {
                role: member.role,
                unread: counted.unread,
                mentions: counted.mentions,
                read_seq: counted.read_seq,
                from_seq: member.from_seq,
                muted_until: None,
            });
            seen.last_message = self.last_message(user, id, head).await?;
        }
        Ok(seen)
    }

    async fn last_message(
        &self,
        user: UserId,
        id: ConversationId,
        head: &HeadRow,
    ) -> Result<Option<Message>, Refusal> {
        if head.mno == 0 {
            return Ok(None);
        }
        let (rows, _) = self.downward(id, head.seq, 1).await?;
        // Membership is read after the row: whoever was removed meanwhile
        // does not see what came later.
        let member = match self.parts.directory.standing(id, user).await {
            Some((_, member)) => member,
            None => self.parts.members.member(id, user).await?,
        };
        let from = member.filter(MemberRow::is_active).map(|row| row.from_seq);
        match (rows.last(), from) {
            (Some(row), Some(from)) if row.seq >= from => as_message(row, user).map(Some),
            _ => Ok(None),
        }
    }

    /// A member who may set marks.
    ///
    /// # Errors
    /// `not_a_member`, `not_found`, or what the store says.
    pub(super) async fn marking(
        &self,
        user: UserId,
        id: ConversationId,
    ) -> Result<MemberRow, Refusal> {
        let (_, member) = self.standing(user, id, Action::Mark).await?;
        member.ok_or_else(Refusal::not_a_member)
    }
}

fn show_cursor((at, id): Place) -> String {
    format!("{}.{id}", at.0)
}

fn parse_cursor(cursor: &str) -> Result<Place, Refusal> {
    let bad = || Refusal::field("cursor", "not a cursor of this list");
    let (at, id) = cursor.split_once('.').ok_or_else(bad)?;
    let at: i64 = at.parse().map_err(|_| bad())?;
    Ok((
        std::cmp::Reverse(Timestamp(at).0),
        id.parse().map_err(|_| bad())?,
    ))
}
