//! A log from its first entry on, applied again: what must the store hold?

use std::sync::Arc;

use bytes::Bytes;
use fanfare_protocol::ConversationId;

use super::state::{Held, RoomState};
use crate::codec::CodecError;
use crate::effect::Effect;
use crate::entry::Entry;
use crate::row::LogRow;
use crate::state::MessageState;

/// The state of a conversation while its log is applied from the beginning.
pub struct Replay {
    state: RoomState,
}

impl Replay {
    /// Before the first entry.
    pub fn new(conversation: ConversationId) -> Self {
        Self {
            state: RoomState::new(conversation),
        }
    }

    /// Applies the next entry; gives its effects. What a later entry makes of
    /// a message shows only if its row was `kept`, as it was when written.
    ///
    /// # Errors
    /// When a value cannot be encoded.
    pub fn apply(
        &mut self,
        row: &LogRow,
        entry: Entry,
        kept: bool,
    ) -> Result<Vec<Effect>, CodecError> {
        let entry = Arc::new(entry);
        if kept {
            let row = LogRow {
                state: Bytes::new(),
                ..row.clone()
            };
            let held = Held {
                row,
                entry: Arc::clone(&entry),
                state: MessageState::default(),
            };
            self.state.rows.insert(held.row.seq, held);
        }
        self.state.effects_of(row, &entry)
    }
}
