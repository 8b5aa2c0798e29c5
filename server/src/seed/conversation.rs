//! One seeded conversation: entries as a room would have written them, their
//! effects, and a clean head, so that it sleeps until somebody comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fanfare_actors::account::new_id;
use fanfare_engine::codec::encode;
use fanfare_engine::effect::Effects;
use fanfare_engine::entry::{Body, Created, Entry, Moved};
use fanfare_engine::port::Scope;
use fanfare_engine::room::RoomState;
use fanfare_engine::row::{EpochRow, HeadRow, LogRow};
use fanfare_protocol::conversation::{JoinPolicy, Kind, Role, Visibility};
use fanfare_protocol::limits::ENTRY_EFFECTS_MAX;
use fanfare_protocol::{ConversationId, Timestamp, UserId};

use super::{Garden, claim, members};

/// The first epoch under which anything is written.
const FIRST_EPOCH: u64 = 1;

impl Garden {
    /// Conversation `c`: epoch, then each entry and its effects, then the
    /// epoch's first seq and the head, all under the first epoch there is: a
    /// log that nobody else knows is nobody's to own.
    pub(super) async fn conversation(
        &self,
        c: u64,
        per_conversation: u64,
        users: &[UserId],
    ) -> anyhow::Result<ConversationId> {
        let (now, epoch) = (self.clock.now(), FIRST_EPOCH);
        let conversation = ConversationId(new_id(now)?);
        let members: Vec<UserId> = members(c, per_conversation, users.len() as u64)
            .filter_map(|index| users.get(index).copied())
            .collect();
        let in_one_entry = ENTRY_EFFECTS_MAX as u64 - 1;
        let is_group = per_conversation <= self.limits.group_members_max.min(in_one_entry);
        let entries = entries(c, &members, is_group, now);
        let log = &self.ports.log;
        if !is_group {
            let (names, slug) = (self.ports.names.as_ref(), slug(c));
            claim(names, Scope::Slug, &slug, *conversation.as_bytes(), now).await?;
        }
        let mut owned = EpochRow {
            conversation,
            epoch,
            first_seq: None,
        };
        log.put_epoch(epoch, owned).await?;
        let mut state = RoomState::new(conversation);
        for (seq, entry) in (1..).zip(&entries) {
            let row = LogRow {
                conversation,
                seq,
                epoch,
                mno: 0,
                ano: 0,
                key: None,
                request: None,
                entry: encode(entry)?,
                state: bytes::Bytes::new(),
            };
            let list = state.apply_new(&row, entry)?;
            log.append(epoch, Arc::new([row])).await?;
            let effects = Effects {
                conversation,
                epoch,
                list,
            };
            log.apply(Arc::new(effects)).await?;
        }
        owned.first_seq = Some(1);
        log.put_epoch(epoch, owned).await?;
        let head = HeadRow {
            conversation,
            epoch,
            seq: state.head,
            mno: 0,
            ano: 0,
            at: now,
            clean: state.head,
        };
        log.put_head(epoch, head).await?;
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(conversation)
    }
}

/// A group, or an open public channel whose further members come gathered.
fn entries(c: u64, members: &[UserId], is_group: bool, at: Timestamp) -> Vec<Entry> {
    // Each member is an effect, and the conversation's own record is one.
    let mut parts = members.chunks(ENTRY_EFFECTS_MAX - 1);
    let first = parts.next().unwrap_or_default();
    let Some(owner) = first.first().copied() else {
        return Vec::new();
    };
    let role = |user: &UserId| match *user == owner {
        true => (*user, Role::Owner),
        false => (*user, Role::Member),
    };
    let created = Created {
        kind: if is_group { Kind::Group } else { Kind::Channel },
        title: Some(format!("Seed {}", c + 1)),
        slug: (!is_group).then(|| slug(c)),
        description: None,
        visibility: if is_group {
            Visibility::Private
        } else {
            Visibility::Public
        },
        join_policy: if is_group {
            JoinPolicy::Invite
        } else {
            JoinPolicy::Open
        },
        members: first.iter().map(role).collect(),
    };
    let mut member_count = first.len() as u64;
    let mut entries = vec![Entry {
        at,
        author: owner,
        body: Body::Created(created),
    }];
    for part in parts {
        member_count += part.len() as u64;
        let joined: Vec<Moved> = part
            .iter()
            .map(|user| Moved {
                user: *user,
                key: None,
            })
            .collect();
        entries.push(Entry {
            at,
            author: part.first().copied().unwrap_or(owner),
            body: Body::MembersMoved {
                joined,
                left: Vec::new(),
                member_count,
                from_start: true,
            },
        });
    }
    entries
}

fn slug(c: u64) -> String {
    format!("seed-{:06}", c + 1)
}
