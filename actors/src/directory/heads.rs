//! How far logs are published: known on the node, or read from the store.

use std::time::Duration;

use fanfare_engine::port::StoreError;
use fanfare_engine::row::HeadRow;
use fanfare_protocol::ConversationId;

use super::Directory;

impl Directory {
    /// How far the log is published; `None` when there is no such log.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn head(&self, conversation: ConversationId) -> Result<Option<HeadRow>, StoreError> {
        self.check_served(conversation)?;
        if let Some(head) = self.known_head(conversation) {
            return Ok(Some(head));
        }
        match self.0.ports.log.head(conversation).await? {
            Some(head) if head.is_clean() => return Ok(Some(head)),
            // Created a moment ago, or in the middle of something.
            Some(_) => {}
            None if self.0.ports.log.meta(conversation).await?.is_none() => return Ok(None),
            None => {}
        }
        self.activated_head(conversation).await.map(Some)
    }

    /// The same for each of these, with one read for all that the node does
    /// not know.
    ///
    /// # Errors
    /// When the store does not answer, or this node does not serve all of
    /// them at present; within, when one could not be loaded.
    pub async fn heads(
        &self,
        conversations: &[ConversationId],
    ) -> Result<Vec<Result<Option<HeadRow>, StoreError>>, StoreError> {
        for conversation in conversations {
            self.check_served(*conversation)?;
        }
        let known = conversations.iter().map(|id| self.known_head(*id));
        let known: Vec<Option<HeadRow>> = known.collect();
        let asked = conversations.iter().zip(&known);
        let unknown = asked.filter_map(|(id, head)| head.is_none().then_some(*id));
        let unknown: Vec<ConversationId> = unknown.collect();
        let read = match unknown.is_empty() {
            true => Vec::new(),
            false => self.0.ports.log.heads(unknown).await?,
        };
        let mut read = read.into_iter();
        let mut heads = Vec::with_capacity(known.len());
        for (id, head) in conversations.iter().zip(known) {
            let head = head.or_else(|| read.next().flatten().filter(HeadRow::is_clean));
            heads.push(match head {
                Some(head) => Ok(Some(head)),
                // Rare: in the middle of something, or no such log.
                None => self.head(*id).await,
            });
        }
        Ok(heads)
    }

    /// # Errors
    /// When this node does not serve the conversation, or not yet: what a head
    /// row says may be behind the log.
    fn check_served(&self, conversation: ConversationId) -> Result<(), StoreError> {
        if self.is_served(conversation) {
            return Ok(());
        }
        let why = "this node serves no such conversation at present";
        Err(StoreError::Unavailable(why.into()))
    }

    /// Starts the room and waits until it has loaded.
    ///
    /// # Errors
    /// When it could not be loaded.
    pub async fn activated_head(
        &self,
        conversation: ConversationId,
    ) -> Result<HeadRow, StoreError> {
        let stalled = || StoreError::Unavailable("the conversation could not be loaded".into());
        let part = self.part(conversation);
        let patience = Duration::from_millis(self.0.limits.append_ms_max);
        let wait = async {
            loop {
                let changed = part.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(head) = self.known_head(conversation) {
                    return Ok(head);
                }
                self.room(conversation).ok_or_else(stalled)?;
                changed.await;
            }
        };
        tokio::time::timeout(patience, wait)
            .await
            .map_err(|_| stalled())?
    }

    /// A clean head that was read for a follower while the slot was ours under
    /// `epoch`.
    pub(super) fn remember(&self, epoch: u64, head: HeadRow) {
        let mut owned = self.part(head.conversation).owned.lock();
        if !self.keeps(head.conversation, epoch) {
            return;
        }
        if let Some(row) = owned.get_mut(&head.conversation) {
            row.head.get_or_insert(head);
        }
    }
}
