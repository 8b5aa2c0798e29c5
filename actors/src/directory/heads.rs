//! How far logs are published: known on the node, or read from the store.

use std::time::Duration;

use fanfare_engine::port::StoreError;
use fanfare_engine::row::HeadRow;
use fanfare_engine::stamp::slot_of;
use fanfare_protocol::{ConversationId, Timestamp};

use super::{Directory, Known};

impl Directory {
    /// How far the log is published; `None` when there is no such log.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn head(&self, conversation: ConversationId) -> Result<Option<HeadRow>, StoreError> {
        if let Some(head) = self.known_head(conversation) {
            return Ok(Some(head));
        }
        self.check_served(conversation)?;
        // What was under way is activated by now, perhaps only a moment ago:
        // its head row is behind.
        if let Some(head) = self.known_head(conversation) {
            return Ok(Some(head));
        }
        match self.0.ports.log.head(conversation).await? {
            Some(head) if self.is_believed(&head) => return Ok(Some(head)),
            // Created a moment ago, or in the middle of something.
            Some(_) => {}
            None if self.0.ports.log.meta(conversation).await?.is_none() => return Ok(None),
            None => {}
        }
        self.activated_head(conversation).await.map(Some)
    }

    /// When a conversation whose head this node knows was last active.
    pub fn known_at(&self, conversation: ConversationId) -> Option<Timestamp> {
        self.known_head(conversation).map(|head| head.at)
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
            let head = head.or_else(|| read.next().flatten().filter(|head| self.is_believed(head)));
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

    /// Tells who follows a conversation how far it is.
    pub(super) async fn tell_head(&self, conversation: ConversationId) -> Result<(), StoreError> {
        let epoch = self.0.ownership.serves(slot_of(conversation));
        let head = self.head(conversation).await?;
        let mut owned = self.part(conversation).owned.lock();
        let Some(row) = owned.get_mut(&conversation) else {
            return Ok(());
        };
        // The slot may have been given up since the head was read.
        let epoch = epoch.filter(|epoch| self.keeps(conversation, *epoch));
        if let (Some(head), Some(epoch)) = (head, epoch) {
            row.under(epoch).known.get_or_insert(Known::head(head));
        }
        let follower = row.follower.clone();
        drop(owned);
        match (follower, head) {
            (Some(follower), Some(head)) => follower.head(super::as_head(&head)),
            (Some(follower), None) => follower.unknown(conversation),
            (None, _) => {}
        }
        Ok(())
    }

    /// Whether a head row says where the log ends: it is clean, and the
    /// conversation is not one that could not be activated.
    fn is_believed(&self, head: &HeadRow) -> bool {
        head.is_clean() && !self.0.unsettled.has(head.conversation)
    }
}
