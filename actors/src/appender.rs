//! The appender: writes what rooms decided, repeats what is unknown, and
//! outlives them. Node-wide.
//!
//! **Invariant:** no room loads a conversation while a write to it is
//! outstanding ([`Appender::settled`]), so under one epoch no seq is ever
//! given to two contents.

use std::collections::HashMap;
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
    /// outcome is reported once and the write repeated until it is known.
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
            done(outcome);
        });
    }

    /// Writes effects until they are durable; then `done` hears so.
    pub fn apply(&self, effects: Arc<Effects>, done: impl FnOnce(Outcome) + Send + 'static) {
        let this = self.clone();
        let held = this.hold(effects.conversation);
        tokio::spawn(async move {
            let mut pause = Pause::default();
            while let Err(error) = this.log.apply(Arc::clone(&effects)).await {
                tracing::warn!(conversation = %effects.conversation, %error, "effects wait");
                pause.wait().await;
            }
            drop(held);
            done(Outcome::Durable);
        });
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
                Ok(()) => this.log.drop_live(slot, head.conversation).await,
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

    /// Waits until nothing is outstanding for the conversation.
    pub async fn settled(&self, conversation: ConversationId) {
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
    ) -> Outcome {
        let slot = slot_of(conversation);
        if note_live && let Err(error) = self.log.put_live(slot, conversation, clock::wall()).await
        {
            tracing::warn!(%conversation, %error, "append refused: not noted as live");
            return Outcome::NotWritten;
        }
        if let Some(head) = batch.head_before
            && let Err(error) = self.log.put_head(batch.epoch, head).await
        {
            tracing::warn!(%conversation, %error, "append refused: no head for the new bucket");
            return Outcome::NotWritten;
        }
        let (mut unknown, mut pause) = (false, Pause::default());
        loop {
            match self.log.append(batch.epoch, Arc::clone(&batch.rows)).await {
                Ok(()) if self.ownership.holds(slot, batch.epoch) => return Outcome::Durable,
                Ok(()) => tracing::warn!(%conversation, "written, but the slot is not held"),
                Err(error) if !unknown && !error.may_have_happened() => {
                    log_refused(conversation, &error);
                    return Outcome::NotWritten;
                }
                Err(error) => tracing::warn!(%conversation, %error, "append outcome unknown"),
            }
            unknown = true;
            report(Outcome::Unknown);
            pause.wait().await;
        }
    }
}

fn log_refused(conversation: ConversationId, error: &StoreError) {
    metrics::counter!("fanfare_appends_refused_total").increment(1);
    tracing::warn!(%conversation, %error, "append refused");
}

struct Held {
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
