//! Reads that a room which is awake answers from memory, as long as its slot
//! is held; of all others the log is asked.

use fanfare_engine::member::MemberRow;
use fanfare_engine::meta::ConversationMeta;
use fanfare_engine::port::{RowRange, StoreError};
use fanfare_engine::row::LogRow;
use fanfare_engine::stamp::slot_of;
use fanfare_protocol::{ConversationId, UserId};
use tokio::sync::oneshot;

use super::Directory;
use crate::room::RoomMessage;

impl Directory {
    /// Rows of a log, durable ones as they are now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn rows(&self, range: RowRange) -> Result<Vec<LogRow>, StoreError> {
        match self.recent(range).await {
            Some(rows) => Ok(rows),
            None => self.0.ports.log.rows(range).await,
        }
    }

    /// The same without the store: `None` when no room that is awake holds all
    /// of them.
    pub async fn recent(&self, range: RowRange) -> Option<Vec<LogRow>> {
        let message = |answer| RoomMessage::Recent(range, answer);
        self.ask(range.conversation, message).await
    }

    /// A conversation's record and somebody's membership, if a room that is
    /// awake holds both.
    pub async fn standing(
        &self,
        conversation: ConversationId,
        user: UserId,
    ) -> Option<(ConversationMeta, Option<MemberRow>)> {
        let message = |answer| RoomMessage::Standing(user, answer);
        self.ask(conversation, message).await
    }

    async fn ask<T>(
        &self,
        conversation: ConversationId,
        message: impl FnOnce(oneshot::Sender<Option<T>>) -> RoomMessage,
    ) -> Option<T> {
        let slot = slot_of(conversation);
        let epoch = self.0.ownership.serves(slot)?;
        let room = {
            let owned = self.part(conversation).owned.lock();
            let row = owned.get(&conversation).filter(|it| it.epoch == epoch)?;
            row.room.clone()?
        };
        let (answer, answered) = oneshot::channel();
        room.cast(message(answer)).ok()?;
        // One that ends answers nothing.
        let told = answered.await.ok()??;
        // What it holds is the log as long as nobody else may have written it.
        self.0.ownership.holds(slot, epoch).then_some(told)
    }
}
