//! The appender: writes what rooms decided, repeats what is unknown, and
//! outlives them. Node-wide. Once a slot is given up, what was to be written
//! under its epoch ends without an outcome: nobody may acknowledge it.
//!
//! **Invariant:** no room loads a conversation while a write to it is
//! outstanding ([`Appender::begin`]), so under one epoch no seq is ever
//! given to two contents.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use fanfare_engine::effect::Effects;
use fanfare_engine::port::{Log, Ownership, StoreError};
use fanfare_engine::room::{Batch, Outcome};
use fanfare_engine::row::HeadRow;
use fanfare_engine::stamp::slot_of;
use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::{APPEND_RETRY_MS_MAX, APPEND_RETRY_MS_MIN};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock;

/// See the module. Outstanding writes are bounded: a room has at most one.
#[derive(Clone)]
pub struct Appender {
    log: Arc<dyn Log>,
    ownership: Arc<dyn Ownership>,
    outstanding: Arc<Mutex<HashMap<ConversationId, Arc<Notify>>>>,
}

impl Appender {
    /// An appender onto this log.
    pub fn new(log: Arc<dyn Log>, ownership: Arc<dyn Ownership>) -> Self {
        Self {
            log,
            ownership,
            outstanding: Arc::default(),
        }
    }

    /// Appends; `done` hears the outcome. With `note_live` the conversation
    /// is first noted as being in the middle of something. An unknown
    /// outcome is reported and the write repeated until it is known. Nothing
    /// is heard once the slot is given up.
    pub fn append(
        &self,
        conversation: ConversationId,
        batch: Batch,
        note_live: bool,
        done: impl Fn(Outcome) + Send + Sync + 'static,
    ) {
        let this = self.clone();
        let held = this.hold(conversation);
        tokio::spawn(async move {
            let outcome = this
                .append_until_known(conversation, &batch, note_live, &done)
                .await;
            drop(held);
            if let Some(outcome) = outcome {
                done(outcome);
            }
        });
    }

    /// Writes effects until they are durable and the lease held when they
    /// were; then `done` hears so.
    pub fn apply(&self, effects: Arc<Effects>, done: impl FnOnce(Outcome) + Send + 'static) {
        let this = self.clone();
        let held = this.hold(effects.conversation);
        tokio::spawn(async move {
            let (conversation, epoch) = (effects.conversation, effects.epoch);
            let write = || this.log.apply(Arc::clone(&effects));
            let written = this.until_durable(conversation, epoch, write).await;
            drop(held);
            if written.is_some() {
                done(Outcome::Durable);
            }
        });
    }

    /// Whether what is written to the conversation under `epoch` may still
    /// come to be acknowledged.
    pub fn keeps(&self, conversation: ConversationId, epoch: u64) -> bool {
        self.ownership.keeps(slot_of(conversation), epoch)
    }

    /// Repeats a write under `epoch` until it is durable and the lease held
    /// when it returned; `None` once the slot is given up.
    pub async fn until_durable<F>(
        &self,
        conversation: ConversationId,
        epoch: u64,
        write: impl Fn() -> F,
    ) -> Option<()>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let (slot, mut pause) = (slot_of(conversation), Pause::default());
        while self.ownership.keeps(slot, epoch) {
            match write().await {
                Ok(()) if self.ownership.holds(slot, epoch) => return Some(()),
                Ok(()) => tracing::warn!(%conversation, "written, but the slot is not held"),
                Err(error) => tracing::warn!(%conversation, %error, "a write is repeated"),
            }
            pause.wait().await;
        }
        tracing::warn!(%conversation, epoch, "a write ends: the slot was given up");
        None
    }

    /// Repeats a read that an activation under `epoch` cannot end without;
    /// `None` once the slot is given up.
    pub async fn until_read<T, F>(
        &self,
        conversation: ConversationId,
        epoch: u64,
        read: impl Fn() -> F,
    ) -> Option<Result<T, StoreError>>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let (slot, mut pause) = (slot_of(conversation), Pause::default());
        while self.ownership.keeps(slot, epoch) {
            match read().await {
                Ok(found) => return Some(Ok(found)),
                Err(damaged @ StoreError::Damaged(_)) => return Some(Err(damaged)),
                Err(error) => tracing::warn!(%conversation, %error, "a read is repeated"),
            }
            pause.wait().await;
        }
        None
    }

    /// Puts a room's clean head; `done` hears whether it is durable. The
    /// note that the conversation is live is then taken back.
    pub fn put_to_sleep(
        &self,
        epoch: u64,
        head: HeadRow,
        done: impl FnOnce(bool) + Send + 'static,
    ) {
        let this = self.clone();
        let held = this.hold(head.conversation);
        tokio::spawn(async move {
            let slot = slot_of(head.conversation);
            let clean = match this.log.put_head(epoch, head).await {
                Ok(()) => this.log.drop_live(epoch, slot, head.conversation).await,
                Err(error) => Err(error),
            };
            if let Err(error) = &clean {
                tracing::warn!(conversation = %head.conversation, %error, "head not clean");
            }
            done(clean.is_ok());
            drop(held);
        });
    }

    /// Writes a head row some time: it only shortens a later search.
    pub fn put_head(&self, epoch: u64, head: HeadRow) {
        let log = Arc::clone(&self.log);
        tokio::spawn(async move {
            if let Err(error) = log.put_head(epoch, head).await {
                tracing::debug!(conversation = %head.conversation, %error, "head row not written");
            }
        });
    }

    /// Waits until nothing is outstanding for the conversation, then holds it:
    /// whoever loads it is alone until the answer is dropped.
    pub async fn begin(&self, conversation: ConversationId) -> Held {
        loop {
            self.settled(conversation).await;
            let mut outstanding = self.outstanding.lock();
            if let Entry::Vacant(place) = outstanding.entry(conversation) {
                let notify = Arc::clone(place.insert(Arc::new(Notify::new())));
                return self.held(conversation, notify);
            }
        }
    }

    /// Waits until nothing is outstanding for the conversation.
    async fn settled(&self, conversation: ConversationId) {
        loop {
            let notify = self.outstanding.lock().get(&conversation).cloned();
            let Some(notify) = notify else { return };
            let notified = notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let same = |other: &Arc<Notify>| Arc::ptr_eq(other, &notify);
            if self.outstanding.lock().get(&conversation).is_some_and(same) {
                notified.await;
            }
        }
    }

    /// Waits until nothing is outstanding at all.
    pub async fn all_settled(&self) {
        loop {
            let next = self.outstanding.lock().keys().next().copied();
            let Some(conversation) = next else { return };
            self.settled(conversation).await;
        }
    }

    /// Whether a write to the conversation is outstanding.
    pub fn is_outstanding(&self, conversation: ConversationId) -> bool {
        self.outstanding.lock().contains_key(&conversation)
    }

    fn hold(&self, conversation: ConversationId) -> Held {
        let notify = Arc::new(Notify::new());
        self.outstanding
            .lock()
            .insert(conversation, Arc::clone(&notify));
        self.held(conversation, notify)
    }

    fn held(&self, conversation: ConversationId, notify: Arc<Notify>) -> Held {
        Held {
            appender: self.clone(),
            conversation,
            notify,
        }
    }

    async fn append_until_known(
        &self,
        conversation: ConversationId,
        batch: &Batch,
        note_live: bool,
        report: &(impl Fn(Outcome) + Send + Sync),
    ) -> Option<Outcome> {
        let (slot, epoch) = (slot_of(conversation), batch.epoch);
        let note = || self.log.put_live(epoch, slot, conversation, clock::wall());
        if note_live && let Err(error) = note().await {
            tracing::warn!(%conversation, %error, "append refused: not noted as live");
            return Some(Outcome::NotWritten);
        }
        if let Some(head) = batch.head_before
            && let Err(error) = self.log.put_head(epoch, head).await
        {
            tracing::warn!(%conversation, %error, "append refused: no head for the new bucket");
            return Some(Outcome::NotWritten);
        }
        let (mut unknown, mut pause) = (false, Pause::default());
        while self.ownership.keeps(slot, epoch) {
            match self.log.append(epoch, Arc::clone(&batch.rows)).await {
                Ok(()) if self.ownership.holds(slot, epoch) => return Some(Outcome::Durable),
                Ok(()) => tracing::warn!(%conversation, "written, but the slot is not held"),
                Err(error) if !unknown && !error.may_have_happened() => {
                    log_refused(conversation, &error);
                    return Some(Outcome::NotWritten);
                }
                Err(error) => tracing::warn!(%conversation, %error, "append outcome unknown"),
            }
            unknown = true;
            report(Outcome::Unknown);
            pause.wait().await;
        }
        tracing::warn!(%conversation, epoch, "an append ends: the slot was given up");
        None
    }
}

fn log_refused(conversation: ConversationId, error: &StoreError) {
    metrics::counter!("fanfare_appends_refused_total").increment(1);
    tracing::warn!(%conversation, %error, "append refused");
}

/// A conversation that is being written or loaded.
pub struct Held {
    appender: Appender,
    conversation: ConversationId,
    notify: Arc<Notify>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut outstanding = self.appender.outstanding.lock();
        // A later write of the same room may have taken the place over.
        if outstanding
            .get(&self.conversation)
            .is_some_and(|it| Arc::ptr_eq(it, &self.notify))
        {
            outstanding.remove(&self.conversation);
        }
        drop(outstanding);
        self.notify.notify_waiters();
    }
}

/// Doubling pauses between repeats.
#[derive(Default)]
struct Pause(u64);

impl Pause {
    async fn wait(&mut self) {
        self.0 = (self.0 * 2).clamp(APPEND_RETRY_MS_MIN, APPEND_RETRY_MS_MAX);
        tokio::time::sleep(Duration::from_millis(self.0)).await;
    }
}
