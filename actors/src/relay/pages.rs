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
            if rows.is_err() {
                tokio::time::sleep(Duration::from_millis(PAGE_RETRY_MS)).await;
            }
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
        let published = row.head.map_or(0, |head| head.seq);
        match rows
            .map_err(|error| error.to_string())
            .and_then(|rows| decoded(rows, page * PAGE_SEQS))
        {
            Ok(rows) => {
                let visible = rows.iter().take_while(|(row, _)| row.seq <= published);
                let frames = visible
                    .map(|(row, entry)| ready_frame(row, entry))
                    .collect();
                handle.page(conversation, page, Arc::new(frames));
            }
            Err(error) => {
                tracing::warn!(%conversation, page, error, "page not read");
                handle.page_failed(conversation, page);
            }
        }
    }
}
