//! Slots that come and go: what was in the middle of something is activated
//! before any head of the slot is read; what is given up is forgotten.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_engine::stamp::slot_of;
use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::{
    ACTIVATIONS_AT_ONCE, LEASE_RETRY_MS, RECOVERY_RETRY_MS_MAX, SCAN_ROWS, SLOTS, UNSETTLED_MAX,
};
use futures_util::stream::{self, StreamExt as _};
use parking_lot::RwLock;

use super::{Directory, Raise};

/// Of no owner.
const NO_EPOCH: u64 = 0;

/// Conversations that were in the middle of something and could not be
/// activated: their head rows may be behind their logs.
#[derive(Default)]
pub(super) struct Unsettled(RwLock<HashSet<ConversationId>>);

impl Unsettled {
    /// Notes one; `false` when there are too many.
    fn note(&self, conversation: ConversationId) -> bool {
        let mut all = self.0.write();
        let noted = all.len() < UNSETTLED_MAX;
        if noted {
            all.insert(conversation);
        }
        metrics::gauge!("fanfare_conversations_unsettled").set(all.len() as f64);
        noted
    }

    /// Whether it is one.
    pub(super) fn has(&self, conversation: ConversationId) -> bool {
        let all = self.0.read();
        !all.is_empty() && all.contains(&conversation)
    }

    /// It was activated.
    pub(super) fn settle(&self, conversation: ConversationId) {
        if self.has(conversation) {
            let mut all = self.0.write();
            all.remove(&conversation);
            metrics::gauge!("fanfare_conversations_unsettled").set(all.len() as f64);
        }
    }
}

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
        // Memberships may have ended under its last owner. Before it is served.
        self.0.departures.note(slot);
        if let Some(at) = self.0.recovered.get(usize::from(slot)) {
            at.fetch_max(epoch, Ordering::AcqRel);
        }
        self.follow_again(slot).await;
        Ok(count)
    }

    /// A slot was given up: its rooms end, and what was known of its logs is
    /// forgotten. Who follows them goes on following.
    pub fn give_up(&self, slot: u16) {
        self.0.departures.note(slot);
        let part = self.part_of(slot);
        part.owned.lock().retain(|conversation, row| {
            if slot_of(*conversation) != slot {
                return true;
            }
            row.under(NO_EPOCH);
            row.follower.is_some()
        });
        part.changed.notify_waiters();
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

    /// A log knows an epoch above that under which it was to be loaded.
    pub(crate) fn epoch_above(&self, conversation: ConversationId, epoch: u64, above: u64) {
        if !self.keeps(conversation, epoch) {
            return;
        }
        tracing::warn!(%conversation, above, "a log knows a higher epoch than its slot");
        if let Some(raise) = self.0.raise.get() {
            raise(slot_of(conversation), above);
        }
    }

    /// Tells followers how far the logs of a slot are, now that it is known.
    /// Those that cannot be told yet are told later ([`Self::pay_owed`]).
    async fn follow_again(&self, slot: u16) {
        let followed = self.followed(slot);
        self.tell_heads(followed).await;
    }

    fn followed(&self, slot: u16) -> Vec<ConversationId> {
        let owned = self.part_of(slot).owned.lock();
        let of_it = owned.iter().filter(|(id, _)| slot_of(**id) == slot);
        let followed = of_it.filter(|(_, row)| row.follower.is_some());
        followed.map(|(id, _)| *id).collect()
    }

    /// Tells heads that are owed, a bounded number at once.
    pub(super) fn pay_owed(&self) {
        let mut owed = self.0.owed.lock();
        let some: Vec<ConversationId> = owed.iter().copied().take(SCAN_ROWS).collect();
        for conversation in &some {
            owed.remove(conversation);
        }
        drop(owed);
        if !some.is_empty() {
            let directory = self.clone();
            tokio::spawn(async move { directory.tell_heads(some).await });
        }
    }

    async fn tell_heads(&self, conversations: Vec<ConversationId>) {
        stream::iter(conversations)
            .for_each_concurrent(ACTIVATIONS_AT_ONCE, async |conversation| {
                if let Err(error) = self.tell_head(conversation).await {
                    tracing::debug!(%conversation, %error, "a head is owed");
                    self.0.owed.lock().insert(conversation);
                }
            })
            .await;
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
                .map(async |id| (id, self.activate(slot, epoch, id).await))
                .buffer_unordered(ACTIVATIONS_AT_ONCE);
            while let Some((conversation, result)) = activated.next().await {
                // One that cannot be activated must not keep its whole slot
                // from being served; but its head row is not believed.
                if let Err(error) = result
                    && !self.0.unsettled.note(conversation)
                {
                    return Err(error);
                }
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
