//! What follows from published entries beside delivery: new members hear of
//! their conversation, senders' marks rise, unread counts go out.

use std::sync::Arc;

use fanfare_engine::entry::Body;
use fanfare_engine::room::Published;
use fanfare_engine::view::added_by;
use fanfare_protocol::cursor::Cursor;

use crate::directory::Listener;
use crate::marks::MarksHandle;
use crate::session::SessionMessage;
use crate::sessions::Sessions;
use crate::unread::UnreadHandle;

/// Hears every publication of this node.
pub struct Notices {
    /// Who is connected.
    pub sessions: Arc<Sessions>,
    /// Senders' own marks.
    pub marks: MarksHandle,
    /// Counts.
    pub unread: UnreadHandle,
}

impl Listener for Notices {
    fn published(&self, published: &Arc<Published>) {
        let conversation = published.conversation;
        let (mut moved, mut members, mut mentioned) = (false, false, Vec::new());
        for row in &published.rows {
            let (log, entry) = (&row.row, &row.entry);
            for user in added_by(entry) {
                for present in self.sessions.of(user) {
                    let cursor = Cursor {
                        conversation,
                        epoch: log.epoch,
                        seq: log.seq,
                    };
                    present.told.tell(SessionMessage::Added(cursor));
                }
            }
            match &entry.body {
                Body::MessageSent(sent) => {
                    moved = true;
                    mentioned.extend(&sent.mentions);
                    let marks = fanfare_engine::room::own_mark(log);
                    self.marks.own(conversation, entry.author, marks);
                }
                Body::MessageEdited(edited) => {
                    moved = true;
                    mentioned.extend(edited.mentions.iter().chain(&edited.withdrawn));
                }
                Body::MessageDeleted(deleted) => {
                    moved = true;
                    mentioned.extend(&deleted.withdrawn);
                }
                Body::Created(_)
                | Body::MemberAdded { .. }
                | Body::MemberUpdated { .. }
                | Body::MemberRemoved { .. }
                | Body::MembersMoved { .. }
                | Body::ConversationDeleted => members = true,
                Body::ReactionsChanged(_) | Body::ConversationUpdated(_) => {}
            }
        }
        // Before what moved is counted.
        if members {
            self.unread.members_changed(conversation);
        }
        if moved {
            self.unread
                .moved(conversation, published.member_count, mentioned);
        }
    }
}
