//! Slots that come and go: what was in the middle of something is activated
//! before any head of the slot is read; what is given up is forgotten.

use std::sync::atomic::Ordering;
use std::time::Duration;

use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_engine::stamp::slot_of;
use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::{
    ACTIVATIONS_AT_ONCE, LEASE_RETRY_MS, RECOVERY_RETRY_MS_MAX, SCAN_ROWS, SLOTS,
};
use futures_util::stream::{self, StreamExt as _};

use super::{Directory, Raise};
use crate::owner::Owner as _;
use crate::room::RoomMessage;

impl Directory {
    /// Whom to tell of epochs above a slot's own; once.
    pub fn raise_by(&self, raise: Raise) {
        let _ = self.0.raise.set(raise);
    }

    /// A slot is ours under `epoch`: [`Self::recover_once`], repeated until it
    /// succeeds. `None` when the slot is given up before.
    pub async fn recover(&self, slot: u16, epoch: u64) -> Option<usize> {
        let mut pause_ms = LEASE_RETRY_MS;
        loop {
            if !self.0.ownership.keeps(slot, epoch) {
                return None;
            }
            let turn = self.0.recoveries.acquire().await.ok()?;
            match self.recover_once(slot, epoch).await {
                Ok(count) => return Some(count),
                Err(error) => tracing::warn!(slot, epoch, %error, "slot not recovered yet"),
            }
            drop(turn);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(RECOVERY_RETRY_MS_MAX);
        }
    }

    /// Activates every conversation that was in the middle of something when
    /// the last owner of the slot ended, and serves the slot then. Answers how
    /// many there were.
    ///
    /// # Errors
    /// When the store does not answer, or one cannot be activated.
    pub async fn recover_once(&self, slot: u16, epoch: u64) -> Result<usize, StoreError> {
        let count = self.activate_live(slot, epoch).await?;
        if let Some(at) = self.0.recovered.get(usize::from(slot)) {
            at.fetch_max(epoch, Ordering::AcqRel);
        }
        self.follow_again(slot);
        Ok(count)
    }

    /// A slot was given up: its rooms end, and what was known of its logs is
    /// forgotten. Who follows them goes on following.
    pub fn give_up(&self, slot: u16) {
        for part in &self.0.parts {
            part.owned.lock().retain(|conversation, row| {
                if slot_of(*conversation) != slot {
                    return true;
                }
                if let Some(room) = &row.room {
                    // One that ended already needs no word.
                    let _ = room.cast(RoomMessage::GivenUp);
                }
                row.head = None;
                row.room.is_some() || row.follower.is_some()
            });
            part.changed.notify_waiters();
        }
    }

    /// Whether heads of this slot may be read from the store.
    pub(super) fn is_recovered(&self, slot: u16) -> bool {
        let at = self.0.recovered.get(usize::from(slot));
        let epoch = self.0.ownership.serves(slot);
        let recovered = at.map_or(0, |at| at.load(Ordering::Acquire));
        epoch.is_some_and(|epoch| epoch == recovered)
    }

    /// Whether this node says how far a log is at present.
    pub fn is_served(&self, conversation: ConversationId) -> bool {
        self.is_recovered(slot_of(conversation))
    }

    /// Slots of which heads may be read.
    pub fn recovered_slots(&self) -> usize {
        (0..SLOTS).filter(|slot| self.is_recovered(*slot)).count()
    }

    /// Whether the slot of a conversation was not given up since `epoch`.
    pub(super) fn keeps(&self, conversation: ConversationId, epoch: u64) -> bool {
        self.0.ownership.keeps(slot_of(conversation), epoch)
    }

    /// A log knows an epoch at or above that of its slot.
    pub(crate) fn epoch_above(&self, conversation: ConversationId, above: u64) {
        tracing::warn!(%conversation, above, "a log knows a higher epoch than its slot");
        if let Some(raise) = self.0.raise.get() {
            raise(slot_of(conversation), above);
        }
    }

    /// Tells followers how far the logs of a slot are, now that it is known.
    fn follow_again(&self, slot: u16) {
        for part in &self.0.parts {
            let owned = part.owned.lock();
            let followed = owned.iter().filter(|(id, _)| slot_of(**id) == slot);
            let followed = followed.filter_map(|(id, row)| Some((*id, row.follower.clone()?)));
            let followed: Vec<_> = followed.collect();
            drop(owned);
            for (conversation, follower) in followed {
                self.follow(conversation, follower);
            }
        }
    }

    async fn activate_live(&self, slot: u16, epoch: u64) -> Result<usize, StoreError> {
        let log = &self.0.ports.log;
        let (mut count, mut after) = (0, None);
        loop {
            let page = log.live(slot, after, SCAN_ROWS).await?;
            after = page.last().copied();
            let full = page.len() == SCAN_ROWS;
            count += page.len();
            let mut activated = stream::iter(page)
                .map(|conversation| self.activate(slot, epoch, conversation))
                .buffer_unordered(ACTIVATIONS_AT_ONCE);
            while let Some(result) = activated.next().await {
                result?;
            }
            if !full {
                return Ok(count);
            }
        }
    }

    async fn activate(
        &self,
        slot: u16,
        epoch: u64,
        conversation: ConversationId,
    ) -> Result<(), StoreError> {
        // Noted as live before its first entry was written: nothing there.
        let range = RowRange {
            conversation,
            from: 1,
            to: 1,
            limit: 1,
            order: Order::Ascending,
        };
        let log = &self.0.ports.log;
        if log.rows(range).await?.is_empty() {
            return log.drop_live(epoch, slot, conversation).await;
        }
        self.activated_head(conversation).await.map(|_| ())
    }
}
