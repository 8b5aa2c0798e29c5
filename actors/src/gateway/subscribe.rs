//! Placing cursors: where a session's delivery of a conversation starts.
//!
//! A subscription is registered at the relay first and held, then membership
//! is read, then it is released from the seq at which it was read: whoever
//! is removed in between gets everything up to that entry, nothing after.

use fanfare_engine::authorize::Action;
use fanfare_engine::placement::{LogView, Placement as Placed1, Wish, place};
use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_protocol::cursor::{Cursor, CursorWish, Gone, GoneReason, Placed};
use fanfare_protocol::limits::PLACEMENTS_AT_ONCE;
use fanfare_protocol::{Code, ConversationId, Refusal, UserId};
use futures_util::StreamExt as _;
use futures_util::stream;

use super::Gateway;
use crate::fanout::{SocketHandle, Start};

/// Held subscriptions and what to say about them; they flow once released.
#[derive(Debug, Default)]
pub struct Placement {
    /// For the reply.
    pub placed: Placed,
    /// For [`SocketHandle::release`].
    pub from: Vec<Start>,
}

enum One {
    Subscribed(Cursor, Start),
    Resync(Cursor, Start),
    Gone(Gone),
    Later(ConversationId),
}

impl Gateway {
    /// Registers and holds a subscription for each wish, in their order.
    pub async fn place(
        &self,
        user: UserId,
        socket: &SocketHandle,
        wishes: Vec<CursorWish>,
    ) -> Placement {
        let mut placement = Placement::default();
        let mut ones = stream::iter(wishes)
            .map(|wish| self.place_one(user, socket, wish))
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

    async fn place_one(&self, user: UserId, socket: &SocketHandle, wish: CursorWish) -> One {
        let conversation = wish.conversation;
        match self.try_place(user, socket, wish).await {
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

    async fn try_place(
        &self,
        user: UserId,
        socket: &SocketHandle,
        wish: CursorWish,
    ) -> Result<One, Refusal> {
        let conversation = wish.conversation;
        // Strangers do not make the node follow a conversation.
        self.standing(user, conversation, Action::Subscribe).await?;
        let held = self.parts.relays.hold(socket.id(), conversation).await;
        let head = held.ok_or_else(|| Refusal::new(Code::Unavailable, "owner is changing"))?;
        let (_, member) = self.standing(user, conversation, Action::Subscribe).await?;
        let member = member.ok_or_else(Refusal::not_a_member)?;
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
            epoch: self.epoch_of(conversation, seq, &view).await?,
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
        let to = seq.saturating_add(1);
        let range = RowRange {
            conversation,
            from: seq,
            to,
            limit: 2,
            order: Order::Ascending,
        };
        let rows = self.parts.log.rows(range).await?;
        let at = |seq| rows.iter().find(|row| row.seq == seq).map(|row| row.epoch);
        Ok((at(seq), at(to)))
    }
}
