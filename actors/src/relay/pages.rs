//! Pages behind the rings: read once for all who lag there, never with text
//! that was deleted meanwhile.

use std::collections::hash_map::Entry as Place;
use std::sync::Arc;
use std::time::Duration;

use fanfare_engine::entry::Entry;
use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_engine::row::LogRow;
use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::{PAGE_RETRY_MS, PAGE_SEQS};
use ractor::ActorRef;

use super::actor::{RelayMessage, State, tell};
use super::entries::{decoded, ready};
use crate::fanout::{FORMATS, Feed, ShardHandle};

impl State {
    pub(super) fn fetch(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        shard: usize,
        feed: Feed,
        page: u64,
    ) {
        let asks = (shard, feed.format);
        match self.reading.entry((feed.conversation, page)) {
            Place::Occupied(mut waiting) => waiting.get_mut().push(asks),
            Place::Vacant(first) => {
                first.insert(vec![asks]);
                self.read(myself, feed.conversation, page);
            }
        }
    }

    fn read(&self, myself: &ActorRef<RelayMessage>, conversation: ConversationId, page: u64) {
        let generation = self.generation(conversation);
        let (log, relay) = (Arc::clone(&self.log), myself.clone());
        let (owner, fetches) = (Arc::clone(&self.owner), Arc::clone(&self.fetches));
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
            let rows = match owner.recent(range).await {
                Some(rows) => Ok(rows),
                None => log.rows(range).await,
            };
            tell(
                &relay,
                RelayMessage::PageRead(conversation, page, generation, rows),
            );
        });
    }

    pub(super) fn page_read(
        &mut self,
        myself: &ActorRef<RelayMessage>,
        conversation: ConversationId,
        page: u64,
        generation: u64,
        rows: Result<Vec<LogRow>, StoreError>,
    ) {
        let row = self.rows.get(&conversation);
        if row.is_some() && self.generation(conversation) != generation {
            // A deletion overtook the reading: its text may be in there.
            return self.read(myself, conversation, page);
        }
        let head = row.and_then(|row| row.head);
        let target = row.and_then(|row| row.busy.as_ref()?.target);
        let published = head.into_iter().chain(target).map(|head| head.seq).max();
        let waiting = self
            .reading
            .remove(&(conversation, page))
            .unwrap_or_default();
        let rows = rows
            .map_err(|error| error.to_string())
            .and_then(|rows| decoded(rows, page * PAGE_SEQS))
            .unwrap_or_else(|error| {
                tracing::warn!(%conversation, page, error, "page not read");
                Vec::new()
            });
        let visible: Vec<(&LogRow, &Entry)> = rows
            .iter()
            .take_while(|(row, _)| Some(row.seq) <= published)
            .map(|(row, entry)| (row, entry))
            .collect();
        for format in FORMATS {
            let asks = waiting.iter().filter(|(_, asked)| *asked == format);
            let shards: Vec<usize> = asks.map(|(shard, _)| *shard).collect();
            let feed = Feed {
                conversation,
                format,
            };
            self.give(feed, page, &shards, &visible);
        }
    }

    fn give(&self, feed: Feed, page: u64, shards: &[usize], rows: &[(&LogRow, &Entry)]) {
        if shards.is_empty() {
            return;
        }
        // A page is one run, however long.
        let run = ready(feed.format, rows, usize::MAX).into_iter().next();
        let followed = self.rows.contains_key(&feed.conversation);
        for shard in shards.iter().filter_map(|at| self.fanout.shard(*at)) {
            match &run {
                Some(run) => shard.page(feed, page, Some(Arc::clone(run))),
                // Not readable, or its head is not known yet: whoever needs it
                // asks again, but not at once.
                None if followed => fail_later(shard.clone(), feed, page),
                None => shard.page(feed, page, None),
            }
        }
    }

    fn generation(&self, conversation: ConversationId) -> u64 {
        let row = self.rows.get(&conversation);
        row.map_or(0, |row| u64::from(row.generation))
    }
}

fn fail_later(shard: ShardHandle, feed: Feed, page: u64) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(PAGE_RETRY_MS)).await;
        shard.page(feed, page, None);
    });
}
