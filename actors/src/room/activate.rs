//! Loads a conversation, in the six steps of an activation (ARCHITECTURE
//! §7): note the epoch, read head and tail and adopt the dense prefix, write
//! the newest rows again, repeat their effects, note where the epoch begins,
//! serve.

use std::sync::Arc;

use fanfare_engine::effect::Effects;
use fanfare_engine::member::MemberRow;
use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_engine::room::RoomState;
use fanfare_engine::room::activation::{Adopted, Found, adopt};
use fanfare_engine::row::{EpochRow, LogRow};
use fanfare_protocol::conversation::Kind;
use fanfare_protocol::limits::{IDEMPOTENT_MS, SCAN_ROWS};
use fanfare_protocol::{ConversationId, Limits, UserId};

use super::actor::{RoomPorts, supply};
use crate::clock;

/// Loads a conversation under `epoch`, ready to serve.
///
/// # Errors
/// When the store does not answer, or the log is another owner's.
pub(super) async fn activate(
    ports: &RoomPorts,
    conversation: ConversationId,
    epoch: u64,
    limits: &Limits,
) -> Result<RoomState, StoreError> {
    ports.appender.settled(conversation).await;
    let log = &ports.log;
    let epochs = log.epochs(conversation).await?;
    if !epochs.iter().any(|known| known.epoch == epoch) {
        log.put_epoch(EpochRow {
            conversation,
            epoch,
            first_seq: None,
        })
        .await?;
    }
    let head = log.head(conversation).await?;
    let tail = read_tail(ports, conversation, limits).await?;
    let adopted = adopt(Found { head, tail, epochs }, epoch)
        .map_err(|error| StoreError::Damaged(error.to_string()))?;
    if adopted.rewrite {
        write_again(ports, epoch, &adopted).await?;
    }
    let mut state = load(ports, conversation, &adopted).await?;
    if adopted.rewrite {
        repeat_effects(ports, epoch, &adopted, &mut state).await?;
        metrics::counter!("fanfare_activations_repaired_total").increment(1);
    }
    if !adopted.epoch_known {
        let first_seq = Some(adopted.first_seq);
        log.put_epoch(EpochRow {
            conversation,
            epoch,
            first_seq,
        })
        .await?;
    }
    Ok(state)
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

/// Step 3: the newest rows as they were read, epoch column unchanged, under
/// the own timestamp, one bucket at a time.
async fn write_again(ports: &RoomPorts, epoch: u64, adopted: &Adopted) -> Result<(), StoreError> {
    for part in adopted
        .again()
        .chunk_by(|one, next| bucket(one) == bucket(next))
    {
        ports
            .log
            .append(epoch, part.iter().cloned().collect())
            .await?;
    }
    Ok(())
}

fn bucket(row: &LogRow) -> u64 {
    fanfare_engine::row::bucket_of(row.seq)
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

/// Step 4: what an owner that died may not have got to.
async fn repeat_effects(
    ports: &RoomPorts,
    epoch: u64,
    adopted: &Adopted,
    state: &mut RoomState,
) -> Result<(), StoreError> {
    let conversation = state.conversation;
    let mut list = Vec::new();
    for row in adopted.again() {
        let entry = row.entry()?;
        let needs = state.needs_of(&entry);
        if !needs.is_empty() {
            supply(ports, state, &needs).await?;
        }
        list.extend(state.effects_of(row, &entry)?);
    }
    for part in list.chunks(SCAN_ROWS) {
        let effects = Effects {
            conversation,
            epoch,
            list: part.to_vec(),
        };
        ports.log.apply(Arc::new(effects)).await?;
    }
    Ok(())
}
