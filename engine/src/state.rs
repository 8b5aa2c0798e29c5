//! What later entries made of a message: absolute values beside its row.

use fanfare_protocol::message::ReactionCount;
use fanfare_protocol::{Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// State of one message after all entries that changed it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessageState {
    /// Seq of the last entry that changed it (0: none did).
    pub rev: u64,
    /// Text after the newest edit.
    pub text: Option<String>,
    /// Members named after the newest edit.
    pub mentions: Option<Vec<UserId>>,
    /// Seqs of the edit entries, oldest first.
    pub edits: Vec<u64>,
    /// Newest edit.
    pub edited_at: Option<Timestamp>,
    /// Emoji and who set it, in order of first use; no empty ones.
    pub reactions: Vec<(String, Vec<UserId>)>,
    /// Deletion.
    pub deleted_at: Option<Timestamp>,
    /// Who deleted it.
    pub deleted_by: Option<UserId>,
}

impl MessageState {
    /// Counts by emoji; with a viewer, whether they are among them.
    pub fn counts(&self, viewer: Option<UserId>) -> Vec<ReactionCount> {
        self.reactions
            .iter()
            .map(|(emoji, users)| ReactionCount {
                emoji: emoji.clone(),
                count: users.len() as u64,
                me: viewer.map(|viewer| users.contains(&viewer)),
            })
            .collect()
    }
}
