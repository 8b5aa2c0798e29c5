//! Pages behind the rings: read once per request, never with text that was
//! deleted meanwhile.

use std::sync::Arc;
use std::time::Duration;

use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_engine::row::LogRow;
use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::{PAGE_RETRY_MS, PAGE_SEQS};
use ractor::ActorRef;

use super::actor::{RelayMessage, State, tell};
use super::entries::{decoded, ready_frame};
use crate::fanout::ShardHandle;

impl State {
    pub(super) fn fetch(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        shard: usize,
        conversation: ConversationId,
        page: u64,
    ) {
        let generation = self.rows.get(&conversation).map_or(0, |row| row.generation);
        let (log, relay) = (Arc::clone(&self.log), myself.clone());
        let fetches = Arc::clone(&self.fetches);
        metrics::counter!("fanfare_relay_pages_total").increment(1);
        tokio::spawn(async move {
            let Ok(_permit) = fetches.acquire().await else {
                return;
            };
            let range = RowRange {
                conversation,
                from: page * PAGE_SEQS + 1,
                to: (page + 1) * PAGE_SEQS,
                limit: PAGE_SEQS as usize,
                order: Order::Ascending,
            };
            let rows = log.rows(range).await;
            tell(
                &relay,
                RelayMessage::PageRead(shard, conversation, page, generation, rows),
            );
        });
    }

    pub(super) fn page_read(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        shard: usize,
        conversation: ConversationId,
        page: u64,
        generation: u64,
        rows: Result<Vec<LogRow>, StoreError>,
    ) {
        let Some(handle) = self.fanout.shard(shard).cloned() else {
            return;
        };
        let Some(row) = self.rows.get(&conversation) else {
            handle.page_failed(conversation, page);
            return;
        };
        if row.generation != generation {
            // A deletion overtook the reading: its text may be in there.
            self.fetch(myself, shard, conversation, page);
            return;
        }
        let known = row.head.into_iter().chain(row.target);
        let published = known.map(|head| head.seq).max().unwrap_or(0);
        let frames = rows
            .map_err(|error| error.to_string())
            .and_then(|rows| decoded(rows, page * PAGE_SEQS))
            .map(|rows| {
                let visible = rows.iter().take_while(|(row, _)| row.seq <= published);
                visible
                    .map(|(row, entry)| ready_frame(row, entry))
                    .collect::<Vec<_>>()
            });
        match frames {
            Ok(frames) if !frames.is_empty() => handle.page(conversation, page, Arc::new(frames)),
            // Not readable, or its head is not known yet: whoever needs it
            // asks again, but not at once.
            Ok(_) => fail_later(handle, conversation, page),
            Err(error) => {
                tracing::warn!(%conversation, page, error, "page not read");
                fail_later(handle, conversation, page);
            }
        }
    }
}

fn fail_later(shard: ShardHandle, conversation: ConversationId, page: u64) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(PAGE_RETRY_MS)).await;
        shard.page_failed(conversation, page);
    });
}
