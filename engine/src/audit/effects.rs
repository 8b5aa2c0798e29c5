//! What the effects of a log come to, and what they may still be: those of
//! the newest entries of a log that was not left clean are repeated by the
//! next activation, until then the store may hold what was before them.

use std::collections::{HashMap, VecDeque};

use fanfare_protocol::UserId;
use fanfare_protocol::limits::ACTIVATION_ROWS;

use crate::codec::{CodecError, decode};
use crate::effect::{Effect, Set};
use crate::member::MemberRow;
use crate::meta::ConversationMeta;
use crate::state::MessageState;

/// What an effect sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Object {
    State(u64),
    Member(UserId),
    Meta,
    Mention(u64, UserId),
}

/// What it sets it to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    State(MessageState),
    Member(MemberRow),
    Meta(Box<ConversationMeta>),
    Mention(bool),
}

/// All of it, after the newest entry.
#[derive(Default)]
pub(super) struct Expected {
    now: HashMap<Object, Value>,
    /// What the newest entries replaced: seq of the entry, what, before it.
    before: VecDeque<(u64, Object, Option<Value>)>,
}

impl Expected {
    /// Takes the effects of the next entry.
    pub(super) fn take(&mut self, seq: u64, effects: Vec<Effect>) -> Result<(), CodecError> {
        while let Some((old, ..)) = self.before.front() {
            if old + ACTIVATION_ROWS > seq {
                break;
            }
            self.before.pop_front();
        }
        for effect in effects {
            let (object, value) = match effect.set {
                Set::State { target, state } => {
                    (Object::State(target), Value::State(decode(&state)?))
                }
                Set::Member { user, row } => (Object::Member(user), Value::Member(row)),
                Set::Meta(meta) => (Object::Meta, Value::Meta(meta)),
                Set::Mention { user, message, on } => {
                    (Object::Mention(message, user), Value::Mention(on))
                }
                // A deleted text is looked for beside, own marks rise later.
                Set::Emptied { .. } | Set::Mark { .. } => continue,
            };
            let before = self.now.insert(object, value);
            self.before.push_back((seq, object, before));
        }
        Ok(())
    }

    /// Takes what was expected of an object, to compare each one once.
    pub(super) fn remove(&mut self, object: Object) -> Option<Value> {
        self.now.remove(&object)
    }

    /// What was not compared.
    pub(super) fn rest(&mut self) -> Vec<(Object, Value)> {
        self.now.drain().collect()
    }

    /// Whether an object may be `stored` because effects behind `due` may be
    /// missing.
    pub(super) fn may_still_be(&self, object: Object, stored: Option<&Value>, due: u64) -> bool {
        self.before
            .iter()
            .any(|(seq, of, before)| *seq > due && *of == object && before.as_ref() == stored)
    }
}
