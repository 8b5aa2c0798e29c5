//! Entries on their way to the shards: dense, encoded once; what is missing
//! is pulled once for everybody.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare_engine::entry::{Body, Entry};
use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_engine::room::Published;
use fanfare_engine::row::LogRow;
use fanfare_engine::view::{self, ends_of, event_of};
use fanfare_protocol::limits::{PAGE_RETRY_MS, RUN_BYTES_MAX, SCAN_ROWS};
use fanfare_protocol::{Codec, ConversationId};
use ractor::ActorRef;
use smallvec::SmallVec;

use super::actor::{Known, RelayMessage, State, tell};
use crate::fanout::{Ends, FORMATS, Feed, Format, Frames, Run, RunBuilder};
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
        let newest = Known {
            epoch: last.row.epoch,
            seq: last.row.seq,
        };
        let Some(head) = row.head else {
            // The first head, on its way, may be older: pulled when it comes.
            row.busy().target = Some(newest);
            return;
        };
        let pulling = row.busy.as_ref().is_some_and(|busy| busy.pulling);
        if first.row.seq > head.seq + 1 || pulling {
            self.pull(myself, newest.of(conversation), Duration::ZERO);
            return;
        }
        let new = published.rows.iter().filter(|it| it.row.seq > head.seq);
        let entries: Vec<(&LogRow, &Entry)> = new.map(|it| (&it.row, &*it.entry)).collect();
        self.hand_on(conversation, newest, &entries);
    }

    pub(super) fn head(&mut self, myself: &ActorRef<RelayMessage>, head: Head) {
        let conversation = head.conversation;
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        match row.head {
            None => {
                let busy = row.busy();
                let had = busy.had.take().map_or(head.seq, |had| had.min(head.seq));
                let target = busy.target.filter(|target| target.seq > head.seq);
                row.head = Some(Known {
                    seq: had,
                    epoch: head.epoch,
                });
                self.answer_waiting(conversation);
                let target = target.map_or(head, |target| target.of(conversation));
                if target.seq > had {
                    self.pull(myself, target, Duration::ZERO);
                }
            }
            Some(known) if head.seq > known.seq => self.pull(myself, head, Duration::ZERO),
            // What a shard dropped it learns from the repeated head.
            Some(known) if head.seq == known.seq => {
                for (shard, format) in self.readers(conversation) {
                    let feed = Feed {
                        conversation,
                        format,
                    };
                    shard.head(feed, head.seq);
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
        let head = row.head;
        let busy = row.busy();
        if busy.target.is_none_or(|known| known.seq < target.seq) {
            busy.target = Some(target.into());
        }
        let Some(head) = head else { return };
        if busy.pulling {
            return;
        }
        busy.pulling = true;
        metrics::counter!("fanfare_relay_pulls_total").increment(1);
        let (log, relay) = (Arc::clone(&self.log), myself.clone());
        let owner = Arc::clone(&self.owner);
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
            let rows = match owner.recent(range).await {
                Some(rows) => Ok(rows),
                None => log.rows(range).await,
            };
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
        row.busy().pulling = false;
        let from = row.head.map_or(0, |head| head.seq);
        match rows
            .map_err(|error| error.to_string())
            .and_then(|rows| decoded(rows, from))
        {
            Ok(rows) => {
                if let Some((last, _)) = rows.last() {
                    let newest = Known {
                        epoch: last.epoch,
                        seq: last.seq,
                    };
                    let entries: Vec<(&LogRow, &Entry)> =
                        rows.iter().map(|(row, entry)| (row, entry)).collect();
                    self.hand_on(conversation, newest, &entries);
                }
            }
            Err(error) => tracing::warn!(%conversation, error, "missing entries not read"),
        }
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        let reached = row.head.map_or(0, |head| head.seq);
        let busy = row.busy();
        let wanted = busy.target.unwrap_or(target.into());
        if reached < wanted.seq {
            let pause = if reached > from { 0 } else { PAGE_RETRY_MS };
            self.pull(
                myself,
                wanted.of(conversation),
                Duration::from_millis(pause),
            );
        } else {
            busy.target = None;
            row.rest();
        }
    }

    /// Encodes entries once for each codec in use, frames them once for each
    /// format, and gives them to every shard that has readers.
    pub(super) fn hand_on(
        &mut self,
        conversation: ConversationId,
        newest: Known,
        entries: &[(&LogRow, &Entry)],
    ) {
        let Some(row) = self.rows.get_mut(&conversation) else {
            return;
        };
        let ends = what_ends(entries);
        row.head = Some(newest);
        row.generation += u32::from(ends.as_ref().is_some_and(|it| !it.evicted.is_empty()));
        let mut encoded: SmallVec<[(Codec, Vec<Bytes>); FORMATS.len()]> = SmallVec::new();
        let mut ready: SmallVec<[(Format, Vec<Arc<Run>>); FORMATS.len()]> = SmallVec::new();
        for format in row.formats() {
            let codec = format.codec();
            if encoded.iter().all(|(known, _)| *known != codec) {
                encoded.push((codec, payloads(codec, entries)));
            }
            let payloads = encoded.iter().find(|(known, _)| *known == codec);
            let payloads = payloads.map_or(&[][..], |(_, payloads)| payloads);
            ready.push((format, framed(format, entries, payloads, RUN_BYTES_MAX)));
        }
        for (shard, format) in self.readers(conversation) {
            let runs = ready.iter().find(|(known, _)| *known == format);
            for run in runs.iter().flat_map(|(_, runs)| runs) {
                let feed = Feed {
                    conversation,
                    format,
                };
                // All of them with each run: who ends must end in time, and
                // what is deleted may stand in any.
                shard.entries(Frames {
                    feed,
                    run: Arc::clone(run),
                    ends: ends.clone(),
                });
            }
        }
    }
}

/// What entries do to subscriptions and older frames.
fn what_ends(entries: &[(&LogRow, &Entry)]) -> Option<Arc<Ends>> {
    let mut all = Ends::default();
    for (row, entry) in entries {
        match ends_of(entry) {
            view::Ends::Nobody => {}
            view::Ends::Users(users) => all.users.push((row.seq, Some(users))),
            view::Ends::Everybody => all.users.push((row.seq, None)),
        }
        if let Body::MessageDeleted(deleted) = &entry.body {
            all.evicted.push(deleted.message.seq);
            all.evicted.extend(&deleted.edits);
        }
    }
    (all != Ends::default()).then(|| Arc::new(all))
}

/// Entries, dense and ascending, made ready in one format, in runs of at most
/// `bytes_max` unless a single frame is longer.
pub(super) fn ready(
    format: Format,
    entries: &[(&LogRow, &Entry)],
    bytes_max: usize,
) -> Vec<Arc<Run>> {
    let payloads = payloads(format.codec(), entries);
    framed(format, entries, &payloads, bytes_max)
}

/// The same, of payloads that are encoded already.
fn framed(
    format: Format,
    entries: &[(&LogRow, &Entry)],
    payloads: &[Bytes],
    bytes_max: usize,
) -> Vec<Arc<Run>> {
    let first_seq = entries.first().map_or(0, |(row, _)| row.seq);
    let mut runs = RunBuilder::new(format, first_seq, bytes_max);
    payloads.iter().for_each(|payload| runs.push(payload));
    runs.finish().into_iter().map(Arc::new).collect()
}

fn payloads(codec: Codec, entries: &[(&LogRow, &Entry)]) -> Vec<Bytes> {
    let payload = |(row, entry): &(&LogRow, &Entry)| payload(codec, row, entry);
    entries.iter().map(payload).collect()
}

fn payload(codec: Codec, row: &LogRow, entry: &Entry) -> Bytes {
    let event = event_of(row, entry);
    let encoded = codec.event(row.conversation, row.epoch, row.seq, &event);
    encoded.unwrap_or_else(|error| {
        // An event is plain data; the place must be kept all the same.
        tracing::error!(%error, seq = row.seq, "event not encoded");
        Bytes::from_static(codec.empty_object())
    })
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
