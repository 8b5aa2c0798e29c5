//! Followers of this node's logs: each hears a head first, then what comes.

use std::sync::Arc;

use fanfare_engine::port::RowRange;
use fanfare_protocol::ConversationId;

use super::{Directory, as_head};
use crate::owner::{Follower, Owner, Recent};

impl Owner for Directory {
    fn follow(&self, conversation: ConversationId, follower: Arc<dyn Follower>) {
        let mut owned = self.part(conversation).owned.lock();
        owned.entry(conversation).or_default().follower = Some(Arc::clone(&follower));
        drop(owned);
        if let Some(head) = self.known_head(conversation) {
            follower.head(as_head(&head));
            return;
        }
        let directory = self.clone();
        tokio::spawn(async move {
            if let Err(error) = directory.tell_head(conversation).await {
                tracing::warn!(%conversation, %error, "head not known");
                follower.unknown(conversation);
            }
        });
    }

    fn unfollow(&self, conversation: ConversationId) {
        let mut owned = self.part(conversation).owned.lock();
        if let Some(row) = owned.get_mut(&conversation) {
            row.follower = None;
            if row.is_needless() {
                owned.remove(&conversation);
            }
        }
    }
    fn recent(&self, range: RowRange) -> Recent {
        let directory = self.clone();
        Box::pin(async move { Directory::recent(&directory, range).await })
    }
}
