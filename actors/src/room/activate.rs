//! Loads a conversation: carries out the six steps of an activation, whose
//! order stands in [`fanfare_engine::room::steps`].
//!
//! What was judged is written to its end also when the room that asked is
//! gone: the conversation is held at the appender until then, so no other
//! activation begins, which might judge differently.

use std::collections::HashMap;
use std::sync::Arc;

use fanfare_engine::effect::Effects;
use fanfare_engine::member::MemberRow;
use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_engine::room::RoomState;
use fanfare_engine::room::activation::{AdoptError, Adopted};
use fanfare_engine::room::steps::{Activation, Did, Step};
use fanfare_engine::row::{EpochRow, LogRow, bucket_of};
use fanfare_protocol::conversation::Kind;
use fanfare_protocol::limits::{IDEMPOTENT_MS, LOADS_KEPT_MAX, SCAN_ROWS};
use fanfare_protocol::{ConversationId, Limits, UserId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::actor::{RoomPorts, supply};
use crate::clock;

/// Why a conversation could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// The store does not answer, or what it holds is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log is not ours to serve under this epoch.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The slot was given up meanwhile.
    #[error("the slot was given up")]
    GivenUp,
}

/// Loads a conversation under `epoch`, ready to serve.
///
/// # Errors
/// See [`LoadError`].
pub(super) async fn activate(
    ports: &RoomPorts,
    conversation: ConversationId,
    epoch: u64,
    limits: &Limits,
) -> Result<RoomState, LoadError> {
    let held = ports.appender.begin(conversation).await;
    if !ports.appender.keeps(conversation, epoch) {
        return Err(LoadError::GivenUp);
    }
    if let Some(state) = ports.loads.take(conversation, epoch) {
        return Ok(state);
    }
    let mut loading = Loading {
        ports: ports.clone(),
        conversation,
        epoch,
        steps: Activation::new(conversation, epoch),
        state: None,
    };
    while loading.steps.adopted().is_none() {
        loading.read(limits).await?;
    }
    let (loaded, state) = oneshot::channel();
    let loads = ports.loads.clone();
    tokio::spawn(async move {
        let finished = loading.finish().await;
        // Who asked may have lost patience: the next one takes it over.
        if let Err(Ok(state)) = loaded.send(finished) {
            loads.keep(conversation, epoch, state);
        }
        drop(held);
    });
    state.await.unwrap_or(Err(LoadError::GivenUp))
}

/// States whose rooms did not wait for them. As long as no other room loads,
/// nothing is written, so they stay true.
#[derive(Clone, Default)]
pub struct Loads(Arc<Mutex<HashMap<ConversationId, (u64, RoomState)>>>);

impl Loads {
    fn keep(&self, conversation: ConversationId, epoch: u64, state: RoomState) {
        let mut all = self.0.lock();
        if all.len() >= LOADS_KEPT_MAX {
            // Whoever comes next does it again.
            all.clear();
        }
        all.insert(conversation, (epoch, state));
    }

    fn take(&self, conversation: ConversationId, epoch: u64) -> Option<RoomState> {
        let (of, state) = self.0.lock().remove(&conversation)?;
        (of == epoch).then_some(state)
    }
}

struct Loading {
    ports: RoomPorts,
    conversation: ConversationId,
    epoch: u64,
    steps: Activation,
    state: Option<RoomState>,
}

impl Loading {
    /// Does a step before the log is judged.
    async fn read(&mut self, limits: &Limits) -> Result<(), LoadError> {
        let (ports, conversation) = (&self.ports, self.conversation);
        let did = match self.steps.step() {
            Step::ReadEpochs => Did::Epochs(ports.log.epochs(conversation).await?),
            Step::ReadLog => Did::Log {
                head: ports.log.head(conversation).await?,
                tail: read_tail(ports, conversation, limits).await?,
            },
            Step::PutEpoch(row) => self.put_epoch(row).await?,
            Step::WriteAgain(_) | Step::RepeatEffects(_) | Step::Serve => return Ok(()),
        };
        Ok(self.steps.did(did)?)
    }

    /// Does what is left once the log is judged; gives up only with the slot,
    /// or for what no repetition mends.
    async fn finish(mut self) -> Result<RoomState, LoadError> {
        loop {
            let did = match self.steps.step() {
                Step::PutEpoch(row) => self.put_epoch(row).await?,
                Step::WriteAgain(rows) => self.write_again(&rows).await?,
                Step::RepeatEffects(rows) => {
                    metrics::counter!("fanfare_activations_repaired_total").increment(1);
                    let (state, effects) = self.surely(|| self.effects_of(&rows)).await?;
                    for effects in effects {
                        self.apply(Arc::new(effects)).await?;
                    }
                    self.state = Some(state);
                    Did::Written
                }
                Step::ReadEpochs | Step::ReadLog | Step::Serve => {
                    return match self.state.take() {
                        Some(state) => Ok(state),
                        None => self.surely(|| self.load()).await,
                    };
                }
            };
            self.steps.did(did)?;
        }
    }

    async fn put_epoch(&self, row: EpochRow) -> Result<Did, LoadError> {
        let log = &self.ports.log;
        self.durably(|| log.put_epoch(self.epoch, row)).await
    }

    /// Step 3: the newest rows as they were read, epoch column unchanged,
    /// under the own timestamp, one bucket at a time.
    async fn write_again(&self, rows: &[LogRow]) -> Result<Did, LoadError> {
        let log = &self.ports.log;
        for part in rows.chunk_by(|one, next| bucket_of(one.seq) == bucket_of(next.seq)) {
            let part: Arc<[LogRow]> = part.iter().cloned().collect();
            self.durably(|| log.append(self.epoch, Arc::clone(&part)))
                .await?;
        }
        Ok(Did::Written)
    }

    /// Step 4: what an owner that died may not have got to, and the state that
    /// it leads to.
    async fn effects_of(&self, rows: &[LogRow]) -> Result<(RoomState, Vec<Effects>), StoreError> {
        let mut state = self.load().await?;
        let mut list = Vec::new();
        for row in rows {
            let entry = row.entry()?;
            let needs = state.needs_of(&entry);
            if !needs.is_empty() {
                supply(&self.ports, &mut state, &needs).await?;
            }
            list.extend(state.effects_of(row, &entry)?);
        }
        let parts = list.chunks(SCAN_ROWS).map(|part| Effects {
            conversation: self.conversation,
            epoch: self.epoch,
            list: part.to_vec(),
        });
        let parts = parts.collect();
        Ok((state, parts))
    }

    async fn apply(&self, effects: Arc<Effects>) -> Result<Did, LoadError> {
        let log = &self.ports.log;
        self.durably(|| log.apply(Arc::clone(&effects))).await
    }

    async fn durably<F>(&self, write: impl Fn() -> F) -> Result<Did, LoadError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let appender = &self.ports.appender;
        let written = appender.until_durable(self.conversation, self.epoch, write);
        written
            .await
            .map(|()| Did::Written)
            .ok_or(LoadError::GivenUp)
    }

    async fn surely<T, F>(&self, read: impl Fn() -> F) -> Result<T, LoadError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let appender = &self.ports.appender;
        let read = appender.until_read(self.conversation, self.epoch, read);
        Ok(read.await.ok_or(LoadError::GivenUp)??)
    }

    async fn load(&self) -> Result<RoomState, StoreError> {
        let nothing = StoreError::Damaged("a log that was not read is served".to_owned());
        let adopted = self.steps.adopted().ok_or(nothing)?;
        load(&self.ports, self.conversation, adopted).await
    }
}

/// The newest rows, ascending: 256 at least, and what idempotency promises
/// to remember (ten minutes), at most `room_keys_max`.
async fn read_tail(
    ports: &RoomPorts,
    conversation: ConversationId,
    limits: &Limits,
) -> Result<Vec<LogRow>, StoreError> {
    let now = clock::wall();
    let (mut rows, mut to) = (Vec::new(), u64::MAX);
    loop {
        let order = Order::Descending;
        let range = RowRange {
            conversation,
            from: 1,
            to,
            limit: SCAN_ROWS,
            order,
        };
        let page = ports.log.rows(range).await?;
        let Some(oldest) = page.last() else { break };
        let (seq, at) = (oldest.seq, oldest.entry()?.at);
        let full = page.len() < SCAN_ROWS;
        rows.extend(page);
        let young = now.since_ms(at) < IDEMPOTENT_MS;
        if full || seq <= 1 || !young || rows.len() >= limits.room_keys_max {
            break;
        }
        to = seq - 1;
    }
    rows.reverse();
    Ok(rows)
}

async fn load(
    ports: &RoomPorts,
    conversation: ConversationId,
    adopted: &Adopted,
) -> Result<RoomState, StoreError> {
    let meta = ports.log.meta(conversation).await?;
    let channel = match &meta {
        Some(meta) => meta.kind == Kind::Channel,
        None => false,
    };
    let members = if channel {
        None
    } else {
        Some(all_members(ports, conversation).await?)
    };
    Ok(RoomState::load(
        conversation,
        meta,
        adopted.rows.clone(),
        members,
    )?)
}

async fn all_members(
    ports: &RoomPorts,
    conversation: ConversationId,
) -> Result<Vec<(UserId, MemberRow)>, StoreError> {
    let mut members: Vec<(UserId, MemberRow)> = Vec::new();
    loop {
        let after = members.last().map(|(user, _)| *user);
        let page = ports
            .members
            .members_of(conversation, after, SCAN_ROWS)
            .await?;
        let more = page.len() == SCAN_ROWS;
        members.extend(page.into_iter().map(|member| (member.user, member.row)));
        if !more {
            return Ok(members);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_only_for_the_epoch_that_it_was_loaded_under() {
        let loads = Loads::default();
        let conversation = ConversationId(uuid::Uuid::from_u128(1));
        let state = || RoomState::load(conversation, None, Vec::new(), None).unwrap();
        loads.keep(conversation, 1, state());
        assert!(loads.take(conversation, 2).is_none());
        // What another owner may have overtaken is gone for good.
        assert!(loads.take(conversation, 1).is_none());
        loads.keep(conversation, 3, state());
        assert!(loads.take(conversation, 3).is_some());
        assert!(loads.take(conversation, 3).is_none(), "one room serves it");
    }
}
