//! Placing cursors: where a session's delivery of a conversation starts.
//!
//! A subscription is registered at the relay first and held, then membership
//! is read (or known not to have ended since it was read), then it is released
//! from the seq at which it was read: whoever is removed in between gets
//! everything up to that entry, nothing after.

use std::collections::HashMap;

use fanfare_engine::authorize::{Action, authorize};
use fanfare_engine::member::MemberRow;
use fanfare_engine::meta::ConversationMeta;
use fanfare_engine::placement::{LogView, Placement as Placed1, Wish, place};
use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_protocol::cursor::{Cursor, CursorWish, Gone, GoneReason, Placed};
use fanfare_protocol::limits::PLACEMENTS_AT_ONCE;
use fanfare_protocol::{Code, ConversationId, Refusal, UserId};
use futures_util::StreamExt as _;
use futures_util::stream;

use super::Gateway;
use super::history::standing_of;
use crate::directory::{Directory, Moment};
use crate::fanout::{SocketHandle, Start};
use crate::owner::Head;

/// Held subscriptions and what to say about them; they flow once released.
#[derive(Debug, Default)]
pub struct Placement {
    /// For the reply.
    pub placed: Placed,
    /// For [`SocketHandle::release`].
    pub from: Vec<Start>,
}

/// Active memberships of one user, and when they were read.
pub struct Seen {
    since: Moment,
    members: HashMap<ConversationId, MemberRow>,
}

impl Seen {
    /// None; what is read from here on counts.
    pub fn nothing(directory: &Directory) -> Self {
        Self {
            since: directory.moment(),
            members: HashMap::new(),
        }
    }

    /// An active membership of a conversation that goes on, both read since.
    pub fn add(&mut self, conversation: ConversationId, member: MemberRow) {
        self.members.insert(conversation, member);
    }
}

/// A held subscription and the membership it rests on.
struct Seat {
    head: Head,
    member: MemberRow,
}

enum One {
    Subscribed(Cursor, Start),
    Resync(Cursor, Start),
    Gone(Gone),
    Later(ConversationId),
}

impl Gateway {
    /// Registers and holds a subscription for each wish, in their order.
    /// `seen` are memberships that were just read.
    pub async fn place(
        &self,
        user: UserId,
        socket: &SocketHandle,
        wishes: Vec<CursorWish>,
        seen: Seen,
    ) -> Placement {
        let mut placement = Placement::default();
        let seated = self.seated(user, socket, &wishes, seen).await;
        let mut ones = stream::iter(wishes.into_iter().zip(seated))
            .map(|(wish, seat)| self.place_one(socket, wish, seat))
            .buffered(PLACEMENTS_AT_ONCE);
        while let Some(one) = ones.next().await {
            let placed = &mut placement.placed;
            match one {
                One::Subscribed(cursor, start) => {
                    placed.subscribed.push(cursor);
                    placement.from.push(start);
                }
                One::Resync(cursor, start) => {
                    placed.resync.push(cursor);
                    placement.from.push(start);
                }
                One::Gone(gone) => placed.gone.push(gone),
                One::Later(conversation) => placed.later.push(conversation),
            }
        }
        placement
    }

    /// Registers what the user may subscribe to. A membership counts that was
    /// read after that, or since whose reading nobody left: whatever ends it
    /// from here on is an entry that ends the registered subscription.
    async fn seated(
        &self,
        user: UserId,
        socket: &SocketHandle,
        wishes: &[CursorWish],
        mut seen: Seen,
    ) -> Vec<Result<Seat, Refusal>> {
        let directory = &self.parts.directory;
        let ids: Vec<ConversationId> = wishes.iter().map(|wish| wish.conversation).collect();
        // Strangers do not make the node follow a conversation; and of what is
        // served elsewhere nothing is read, since it is asked for again.
        let unseen =
            |id: &ConversationId| !seen.members.contains_key(id) && directory.is_served(*id);
        let unseen = ids.iter().copied().filter(unseen).collect();
        let mut refused = self.see(user, unseen, &mut seen).await;
        let held: Vec<Option<Head>> = stream::iter(ids.clone())
            .map(|conversation| {
                // What the relay knows of a log may be of the time when the
                // slot was ours.
                let held =
                    seen.members.contains_key(&conversation) && directory.is_served(conversation);
                async move {
                    match held {
                        true => self.parts.relays.hold(socket.id(), conversation).await,
                        false => None,
                    }
                }
            })
            .buffered(PLACEMENTS_AT_ONCE)
            .collect()
            .await;
        let mut stale = Vec::new();
        for (id, head) in ids.iter().zip(&held) {
            if head.is_some() && !directory.nobody_left(*id, seen.since) {
                seen.members.remove(id);
                stale.push(*id);
            } else if head.is_some() {
                // For whoever comes next.
                directory.goes_on(*id, seen.since);
            }
        }
        refused.extend(self.see(user, stale, &mut seen).await);
        let seats = ids.iter().zip(held).map(|(conversation, head)| {
            if let Some(refusal) = refused.get(conversation) {
                return Err(refusal.clone());
            }
            let changing = || Refusal::new(Code::Unavailable, "owner is changing");
            let head = head.ok_or_else(changing)?;
            let member = seen.members.get(conversation).copied();
            let member = member.ok_or_else(Refusal::not_a_member)?;
            Ok(Seat { head, member })
        });
        seats.collect()
    }

    /// Finds memberships and records of these: told by rooms that are awake, or
    /// read. Answers which of them the user may not subscribe to.
    async fn see(
        &self,
        user: UserId,
        ids: Vec<ConversationId>,
        seen: &mut Seen,
    ) -> HashMap<ConversationId, Refusal> {
        let mut refused = HashMap::new();
        let mut note = |id, allowed: Result<MemberRow, Refusal>| match allowed {
            Ok(member) => drop(seen.members.insert(id, member)),
            Err(refusal) => drop(refused.insert(id, refusal)),
        };
        let mut unknown = Vec::new();
        for id in ids {
            match self.parts.directory.standing(id, user).await {
                Some((meta, member)) => note(id, may_subscribe(&meta, member)),
                None => unknown.push(id),
            }
        }
        if unknown.is_empty() {
            return refused;
        }
        let metas = self.parts.log.metas(unknown.clone()).await;
        let members = self.parts.members.memberships(user, unknown.clone()).await;
        let allowed = |at: usize| -> Result<MemberRow, Refusal> {
            let metas = metas
                .as_ref()
                .map_err(|error| Refusal::from(error.clone()))?;
            let members = members
                .as_ref()
                .map_err(|error| Refusal::from(error.clone()))?;
            let meta = metas.get(at).and_then(Option::as_ref);
            let meta = meta.ok_or_else(|| Refusal::not_found("conversation"))?;
            may_subscribe(meta, members.get(at).copied().flatten())
        };
        for (at, id) in unknown.iter().enumerate() {
            note(*id, allowed(at));
        }
        refused
    }

    async fn place_one(
        &self,
        socket: &SocketHandle,
        wish: CursorWish,
        seat: Result<Seat, Refusal>,
    ) -> One {
        let conversation = wish.conversation;
        let placed = match seat {
            Ok(seat) => self.try_place(wish, seat).await,
            Err(refusal) => Err(refusal),
        };
        match placed {
            Ok(one) => one,
            Err(refusal) => {
                socket.unsubscribe(vec![conversation]);
                if refusal.code.retryable() {
                    One::Later(conversation)
                } else {
                    One::Gone(Gone {
                        conversation,
                        reason: GoneReason::NotAMember,
                    })
                }
            }
        }
    }

    async fn try_place(&self, wish: CursorWish, seat: Seat) -> Result<One, Refusal> {
        let conversation = wish.conversation;
        let Seat { head, member } = seat;
        let from_seq = member.from_seq;
        let head_seq = head.seq.max(from_seq);
        let view = match wish.seq {
            None => LogView {
                head_seq,
                head_epoch: head.epoch,
                row_epoch: None,
                next_row_epoch: None,
            },
            Some(seq) => {
                let around = self.epochs_around(conversation, seq).await?;
                // What the relay has yet to hear of may stand in a cursor.
                let head_seq = if around.0.is_some() {
                    head_seq.max(seq)
                } else {
                    head_seq
                };
                LogView {
                    head_seq,
                    head_epoch: head.epoch,
                    row_epoch: around.0,
                    next_row_epoch: around.1,
                }
            }
        };
        let entries_max = self.parts.limits.resume_entries_max;
        let wish = Wish {
            epoch: wish.epoch,
            seq: wish.seq,
        };
        let (seq, resync) = match place(wish, view, from_seq, entries_max) {
            Placed1::From(seq) => (seq, false),
            Placed1::Resync(seq) => (seq, true),
        };
        let cursor = Cursor {
            conversation,
            epoch: match view.row_epoch {
                Some(epoch) if wish.seq == Some(seq) => epoch,
                _ => self.epoch_of(conversation, seq, &view).await?,
            },
            seq,
        };
        let start = Start {
            conversation,
            seq,
            joined_seq: member.joined_seq,
        };
        Ok(if resync {
            One::Resync(cursor, start)
        } else {
            One::Subscribed(cursor, start)
        })
    }

    /// The epoch of the entry at `seq`: what a cursor there names.
    async fn epoch_of(
        &self,
        conversation: ConversationId,
        seq: u64,
        view: &LogView,
    ) -> Result<u64, StoreError> {
        if seq == view.head_seq && view.row_epoch.is_none() {
            return Ok(view.head_epoch);
        }
        Ok(self
            .epochs_around(conversation, seq)
            .await?
            .0
            .unwrap_or(view.head_epoch))
    }

    async fn epochs_around(
        &self,
        conversation: ConversationId,
        seq: u64,
    ) -> Result<(Option<u64>, Option<u64>), StoreError> {
        if let Some(known) = self.parts.directory.epochs_around(conversation, seq) {
            return Ok(known);
        }
        let to = seq.saturating_add(1);
        let range = RowRange {
            conversation,
            from: seq,
            to,
            limit: 2,
            order: Order::Ascending,
        };
        let rows = self.parts.directory.rows(range).await?;
        let at = |seq| rows.iter().find(|row| row.seq == seq).map(|row| row.epoch);
        Ok((at(seq), at(to)))
    }
}

/// The membership of somebody who may subscribe.
fn may_subscribe(meta: &ConversationMeta, member: Option<MemberRow>) -> Result<MemberRow, Refusal> {
    authorize(&standing_of(meta, member), Action::Subscribe)?;
    member.ok_or_else(Refusal::not_a_member)
}
