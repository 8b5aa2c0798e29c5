//! The copy, phase by phase, and how far it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fanfare_engine::port::{Single, StoreError};
use fanfare_protocol::limits::{
    COPY_ATTEMPTS, COPY_CONVERSATIONS_AT_ONCE, COPY_DIFFERENCES_MAX, COPY_PART, COPY_READS_AT_ONCE,
    COPY_RETRY_MS, SCAN_ROWS,
};
use fanfare_protocol::{ConversationId, Timestamp};
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};

use super::digest::{Digest, digest, lasts, of_conversation};
use super::record::{CopyError, Phase, Record};
use super::write::conversation;
use crate::Ports;

/// How far a copy or a check is, to be looked at from outside.
#[derive(Debug, Default)]
pub struct Tally {
    /// Conversations to go through, counted at the beginning.
    pub all: AtomicU64,
    /// Conversations done; while verifying, of both sides together.
    pub conversations: AtomicU64,
    /// Rows written, then rows read again.
    pub rows: AtomicU64,
    /// Tries that failed.
    pub failures: AtomicU64,
    /// Told once `all` is known.
    pub counted: tokio::sync::Notify,
    /// Verifying already.
    pub verifying: std::sync::atomic::AtomicBool,
}

impl Tally {
    /// One more conversation is done.
    pub fn add_conversation(&self) {
        self.conversations.fetch_add(1, Ordering::Relaxed);
    }

    /// Rows that were written or read.
    pub fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Counts the conversations of a store, which are all that is to be done.
    ///
    /// # Errors
    /// As every read, after it was tried for a while.
    pub async fn count(&self, ports: &Ports) -> Result<(), StoreError> {
        let (mut from, mut all) = (None, 0);
        loop {
            let census = &ports.census;
            let part = self.again(|| census.all_conversations(from.clone(), SCAN_ROWS));
            let part = part.await?;
            all += part.items.len() as u64;
            from = part.next;
            if from.is_none() {
                self.all.store(all, Ordering::Relaxed);
                self.counted.notify_one();
                return Ok(());
            }
        }
    }

    /// Does something that may be repeated until it succeeds, for a while.
    ///
    /// # Errors
    /// What it said last; damage at once.
    pub async fn again<T>(
        &self,
        mut operation: impl AsyncFnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut attempts = 1;
        loop {
            match operation().await {
                Ok(done) => return Ok(done),
                Err(error @ StoreError::Damaged(_)) => return Err(error),
                Err(error) if attempts >= COPY_ATTEMPTS => return Err(error),
                Err(error) => tracing::warn!(%error, "trying again"),
            }
            attempts += 1;
            self.failures.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(COPY_RETRY_MS)).await;
        }
    }
}

/// What a copy made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// What both sides hold.
    pub digest: Digest,
    /// The newest epoch; the destination goes on above it.
    pub epoch: u64,
}

/// Copies everything `from` one store `to` another, which is empty or an
/// unfinished copy of the same source, and reads both again. Claims that
/// ended before `now` stay behind.
///
/// # Errors
/// See [`CopyError`]. Whatever it was, the copy may be asked for again and
/// goes on where it was, unless both sides differ.
pub async fn copy(
    from: &Ports,
    to: &Ports,
    now: Timestamp,
    tally: &Tally,
) -> Result<Copied, CopyError> {
    let mut copying = Copying {
        record: Record::open(from, to).await?,
        from,
        to,
        now,
        tally,
    };
    let record = &copying.record;
    tally
        .conversations
        .store(record.conversations, Ordering::Relaxed);
    tally.rows.store(record.rows, Ordering::Relaxed);
    tally.count(from).await.map_err(CopyError::from)?;
    loop {
        match copying.record.phase {
            Phase::Values => copying.values().await?,
            Phase::Accounts => copying.accounts().await?,
            Phase::Families => copying.families().await?,
            Phase::Claims => copying.claims().await?,
            Phase::Conversations => copying.conversations().await?,
            Phase::Verify | Phase::Done => return copying.verify().await,
        }
    }
}

struct Copying<'a> {
    record: Record,
    from: &'a Ports,
    to: &'a Ports,
    now: Timestamp,
    tally: &'a Tally,
}

impl Copying<'_> {
    /// Secrets first: whoever opens the destination would make its own.
    async fn values(&mut self) -> Result<(), CopyError> {
        let values = self.tally.again(|| self.from.census.all_values());
        for (name, value) in values.await.map_err(CopyError::from)? {
            let single = Single::Value(name);
            let singles = &self.to.singles;
            let put = self
                .tally
                .again(|| singles.put_single(single.clone(), value.clone(), None));
            if !put.await.map_err(CopyError::to)? {
                return Err(CopyError::NotEmpty);
            }
        }
        self.record.go_on(self.to, None, Phase::Accounts).await
    }

    async fn accounts(&mut self) -> Result<(), CopyError> {
        let (to, tally) = (self.to, self.tally);
        let place = self.record.place();
        let census = &self.from.census;
        let part = self
            .tally
            .again(|| census.all_accounts(place.clone(), SCAN_ROWS));
        let part = part.await.map_err(CopyError::from)?;
        // One that changed in the destination since stays as it is.
        let puts = part
            .items
            .iter()
            .map(|account| tally.again(move || to.accounts.put_account(account.clone(), None)));
        at_once(puts.collect()).await?;
        self.record.go_on(self.to, part.next, Phase::Families).await
    }

    async fn families(&mut self) -> Result<(), CopyError> {
        let (to, tally) = (self.to, self.tally);
        let place = self.record.place();
        let census = &self.from.census;
        let part = self
            .tally
            .again(|| census.all_families(place.clone(), SCAN_ROWS));
        let part = part.await.map_err(CopyError::from)?;
        let puts = part
            .items
            .iter()
            .map(|family| tally.again(move || to.tokens.put_family(family.clone(), None)));
        at_once(puts.collect()).await?;
        self.record.go_on(self.to, part.next, Phase::Claims).await
    }

    async fn claims(&mut self) -> Result<(), CopyError> {
        let (to, tally, now) = (self.to, self.tally, self.now);
        let place = self.record.place();
        let census = &self.from.census;
        let part = self
            .tally
            .again(|| census.all_claims(place.clone(), SCAN_ROWS));
        let part = part.await.map_err(CopyError::from)?;
        let lasting = part.items.iter().filter(|claim| lasts(claim, now));
        let puts = lasting.map(|claim| tally.again(move || to.names.claim(claim.clone(), now)));
        at_once(puts.collect()).await?;
        self.record
            .go_on(self.to, part.next, Phase::Conversations)
            .await
    }

    async fn conversations(&mut self) -> Result<(), CopyError> {
        let place = self.record.place();
        let census = &self.from.census;
        let part = self
            .tally
            .again(|| census.all_conversations(place.clone(), COPY_PART));
        let part = part.await.map_err(CopyError::from)?;
        let copies = part.items.iter();
        let copies = copies.map(|id| conversation(self.from, self.to, *id, self.tally));
        let copied: Vec<_> = stream::iter(copies.collect::<Vec<_>>())
            .buffer_unordered(COPY_CONVERSATIONS_AT_ONCE)
            .inspect(|_| self.tally.add_conversation())
            .try_collect()
            .await?;
        for (epoch, rows) in copied {
            self.record.epoch = self.record.epoch.max(epoch);
            self.record.conversations += 1;
            self.record.rows += rows;
        }
        if part.next.is_none() {
            let epoch = self.record.epoch;
            let raise = self.tally.again(|| self.to.singles.raise_epoch(epoch));
            raise.await.map_err(CopyError::to)?;
        }
        self.record.go_on(self.to, part.next, Phase::Verify).await
    }

    async fn verify(&mut self) -> Result<Copied, CopyError> {
        let tally = self.tally;
        tally.verifying.store(true, Ordering::Relaxed);
        tally.conversations.store(0, Ordering::Relaxed);
        tally.rows.store(0, Ordering::Relaxed);
        let from = async {
            digest(self.from, self.now, tally)
                .await
                .map_err(CopyError::from)
        };
        let to = async {
            digest(self.to, self.now, tally)
                .await
                .map_err(CopyError::to)
        };
        let (from, to) = future::try_join(from, to).await?;
        if from != to {
            return Err(CopyError::Differ {
                from: Box::new(from),
                to: Box::new(to),
                conversations: self.differences().await?,
            });
        }
        self.record.go_on(self.to, None, Phase::Done).await?;
        let epoch = self.record.epoch;
        Ok(Copied {
            digest: from,
            epoch,
        })
    }

    /// Some conversations that are not the same on both sides.
    async fn differences(&self) -> Result<Vec<ConversationId>, CopyError> {
        let (mut found, mut place) = (Vec::new(), None);
        loop {
            let census = &self.from.census;
            let part = self
                .tally
                .again(|| census.all_conversations(place.clone(), COPY_PART));
            let part = part.await.map_err(CopyError::from)?;
            for id in part.items {
                let from = of_conversation(self.from, id, self.tally);
                let from = from.await.map_err(CopyError::from)?;
                let to = of_conversation(self.to, id, self.tally);
                if from != to.await.map_err(CopyError::to)? {
                    found.push(id);
                }
            }
            place = part.next;
            if place.is_none() || found.len() >= COPY_DIFFERENCES_MAX {
                found.truncate(COPY_DIFFERENCES_MAX);
                return Ok(found);
            }
        }
    }
}

/// Does several small writes, a bounded number at once.
async fn at_once<T>(
    writes: Vec<impl Future<Output = Result<T, StoreError>>>,
) -> Result<(), CopyError> {
    let writes = stream::iter(writes).buffer_unordered(COPY_READS_AT_ONCE);
    let done = writes.try_for_each(|_| future::ready(Ok(())));
    done.await.map_err(CopyError::to)
}
