//! Entries on their way to the shards: dense, encoded once; what is missing
//! is pulled once for everybody.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare_engine::entry::{Body, Entry};
use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_engine::room::{Published, PublishedRow};
use fanfare_engine::row::LogRow;
use fanfare_engine::view::{Ends, ends_of, event_of};
use fanfare_protocol::ConversationId;
use fanfare_protocol::frame::encode_event;
use fanfare_protocol::limits::{PAGE_RETRY_MS, SCAN_ROWS};
use ractor::ActorRef;

use super::actor::{RelayMessage, State, tell};
use crate::fanout::{Frames, text_frame};
use crate::owner::Head;

impl State {
    pub(super) fn published(&mut self, myself: &ActorRef<RelayMessage>, published: &Published) {
        let conversation = published.conversation;
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        let Some((first, last)) = published.rows.first().zip(published.rows.last()) else {
            return;
        };
        let newest = Head {
            conversation,
            epoch: last.row.epoch,
            seq: last.row.seq,
        };
        let Some(head) = row.head else {
            // The first head, on its way, may be older: pulled when it comes.
            row.target = Some(newest);
            return;
        };
        if first.row.seq > head.seq + 1 || row.pulling {
            self.pull(myself, newest, Duration::ZERO);
            return;
        }
        let new: Vec<&PublishedRow> = published
            .rows
            .iter()
            .filter(|it| it.row.seq > head.seq)
            .collect();
        let entries = new.iter().map(|it| (&it.row, &*it.entry)).collect();
        self.hand_on(conversation, newest, entries);
    }

    pub(super) fn head(&mut self, myself: &ActorRef<RelayMessage>, head: Head) {
        let Some(row) = self.rows.get_mut(&head.conversation) else {
            return;
        };
        match row.head {
            None => {
                let had = row.had.take().map_or(head.seq, |had| had.min(head.seq));
                let target = row.target.filter(|target| target.seq > head.seq);
                row.head = Some(Head { seq: had, ..head });
                self.answer_waiting(head.conversation);
                let target = target.unwrap_or(head);
                if target.seq > had {
                    self.pull(myself, target, Duration::ZERO);
                }
            }
            Some(known) if head.seq > known.seq => self.pull(myself, head, Duration::ZERO),
            // What a shard dropped it learns from the repeated head.
            Some(known) if head.seq == known.seq => {
                for shard in self.shards_of(head.conversation) {
                    shard.head(head.conversation, head.seq);
                }
            }
            Some(_) => {}
        }
    }

    /// Reads what is missing up to `target`, once for everybody, after a
    /// pause if the last time brought nothing.
    pub(super) fn pull(&mut self, myself: &ActorRef<RelayMessage>, target: Head, pause: Duration) {
        let Some(row) = self.rows.get_mut(&target.conversation) else {
            return;
        };
        if row.target.is_none_or(|known| known.seq < target.seq) {
            row.target = Some(target);
        }
        let Some(head) = row.head else { return };
        if row.pulling {
            return;
        }
        row.pulling = true;
        metrics::counter!("fanfare_relay_pulls_total").increment(1);
        let (log, relay) = (Arc::clone(&self.log), myself.clone());
        tokio::spawn(async move {
            let range = RowRange {
                conversation: target.conversation,
                from: head.seq + 1,
                to: target.seq,
                limit: SCAN_ROWS,
                order: Order::Ascending,
            };
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let rows = log.rows(range).await;
            tell(
                &relay,
                RelayMessage::Pulled(target.conversation, target, rows),
            );
        });
    }

    pub(super) fn pulled(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        conversation: ConversationId,
        target: Head,
        rows: Result<Vec<LogRow>, StoreError>,
    ) {
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        row.pulling = false;
        let from = row.head.map_or(0, |head| head.seq);
        match rows
            .map_err(|error| error.to_string())
            .and_then(|rows| decoded(rows, from))
        {
            Ok(rows) => {
                if let Some((last, _)) = rows.last() {
                    let newest = Head {
                        conversation,
                        epoch: last.epoch,
                        seq: last.seq,
                    };
                    let entries = rows.iter().map(|(row, entry)| (row, entry)).collect();
                    self.hand_on(conversation, newest, entries);
                }
            }
            Err(error) => tracing::warn!(%conversation, error, "missing entries not read"),
        }
        let row = self.rows.get(&conversation);
        let reached = row.and_then(|row| row.head).map_or(0, |head| head.seq);
        let wanted = row.and_then(|row| row.target).unwrap_or(target);
        if reached < wanted.seq {
            let pause = if reached > from { 0 } else { PAGE_RETRY_MS };
            self.pull(myself, wanted, Duration::from_millis(pause));
        }
    }

    /// Encodes entries once and gives them to every shard that has readers.
    pub(super) fn hand_on(
        &mut self,
        conversation: ConversationId,
        newest: Head,
        entries: Vec<(&LogRow, &Entry)>,
    ) {
        let Some((first, _)) = entries.first() else {
            return;
        };
        let mut frames = Frames {
            conversation,
            first_seq: first.seq,
            frames: Vec::with_capacity(entries.len()),
            ends: Vec::new(),
            evicted: Vec::new(),
        };
        for (row, entry) in entries {
            frames.frames.push(ready_frame(row, entry));
            match ends_of(entry) {
                Ends::Nobody => {}
                Ends::Users(users) => frames.ends.push((row.seq, Some(users))),
                Ends::Everybody => frames.ends.push((row.seq, None)),
            }
            if let Body::MessageDeleted(deleted) = &entry.body {
                frames.evicted.push(deleted.message.seq);
                frames.evicted.extend(&deleted.edits);
            }
        }
        let shards = self.shards_of(conversation);
        if let Some(row) = self.rows.get_mut(&conversation) {
            row.head = Some(newest);
            row.generation += u64::from(!frames.evicted.is_empty());
        }
        let frames = Arc::new(frames);
        for shard in shards {
            if !shard.entries(Arc::clone(&frames)) {
                // What must not be lost with the frames: who may read no
                // further. Everything else the shard pulls.
                shard.owed(&frames);
            }
        }
    }
}

/// Rows with their entries, dense from behind `from`.
pub(super) fn decoded(rows: Vec<LogRow>, from: u64) -> Result<Vec<(LogRow, Entry)>, String> {
    let mut next = from + 1;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        if row.seq < next {
            continue;
        }
        if row.seq != next {
            return Err(format!("row {next} is missing"));
        }
        next += 1;
        let entry = row.entry().map_err(|error| error.to_string())?;
        entries.push((row, entry));
    }
    Ok(entries)
}

pub(super) fn ready_frame(row: &LogRow, entry: &Entry) -> Bytes {
    match encode_event(row.conversation, row.epoch, row.seq, &event_of(row, entry)) {
        Ok(payload) => text_frame(&payload),
        Err(error) => {
            // An event is plain data; the place must be kept all the same.
            tracing::error!(%error, seq = row.seq, "event not encoded");
            text_frame(b"{}")
        }
    }
}
