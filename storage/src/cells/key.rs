//! Keys of cells: table id, partition, clustering key, all big-endian so
//! that byte order is the order of ids and seqs. The layouts stand in
//! `docs/storage-format.md`; none of these numbers may change.

use std::ops::Bound;

use fanfare_engine::port::{Scope, StoreError};

/// A cell's key.
pub(crate) type Key = Vec<u8>;

/// Tables and the byte their keys begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Table {
    /// (conversation, seq): what an append wrote.
    Log = 1,
    /// (conversation, seq): what later entries made of a message.
    State = 2,
    /// (conversation): its own record.
    Meta = 3,
    /// (conversation): where the owner left the log.
    Head = 4,
    /// (conversation, epoch): first seq of the epoch.
    Epochs = 5,
    /// (slot, conversation): in the middle of something.
    Live = 6,
    /// (conversation, user): memberships.
    MembersOf = 16,
    /// (user, conversation): the same, from the other side.
    ConversationsOf = 17,
    /// (conversation, user): read and delivered.
    Marks = 18,
    /// (user, conversation, message seq): who is named where.
    Mentions = 19,
    /// (user, conversation): when it was active, about.
    Inbox = 20,
    /// (scope, name): claims. Compare-and-set.
    Claims = 32,
    /// (end, scope, name): claims of limited life by their end.
    Ends = 33,
    /// (user): accounts. Compare-and-set.
    Accounts = 34,
    /// (session): log-ins. Compare-and-set.
    Families = 35,
    /// (node): leases. Compare-and-set.
    Leases = 36,
    /// (slot): who owns it. Compare-and-set.
    Slots = 37,
    /// (name): single values of the store. Compare-and-set.
    Values = 48,
}

/// Joins a table and the parts of a key.
pub(crate) fn key(table: Table, parts: &[&[u8]]) -> Key {
    let bytes = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut key = Vec::with_capacity(1 + bytes);
    key.push(table as u8);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// The end of all keys that begin with `prefix`.
pub(crate) fn end_of(prefix: &[u8]) -> Bound<Key> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

/// The start of a page of keys that begin with `prefix`, behind `after`.
pub(crate) fn start_behind(prefix: &[u8], after: Option<&[u8; 16]>) -> Bound<Key> {
    match after {
        None => Bound::Included(prefix.to_vec()),
        Some(id) => Bound::Excluded([prefix, id].concat()),
    }
}

/// The last sixteen bytes of a key: an id.
pub(crate) fn last_id(key: &[u8]) -> Result<[u8; 16], StoreError> {
    key.last_chunk::<16>()
        .copied()
        .ok_or_else(|| StoreError::Damaged("key without an id at its end".into()))
}

/// The last eight bytes of a key: a number.
pub(crate) fn last_number(key: &[u8]) -> Result<u64, StoreError> {
    key.last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or_else(|| StoreError::Damaged("key without a number at its end".into()))
}

/// A scope's byte.
pub(crate) fn scope_byte(scope: Scope) -> u8 {
    match scope {
        Scope::Username => 1,
        Scope::Email => 2,
        Scope::Slug => 3,
        Scope::Pair => 4,
        Scope::Request => 5,
    }
}

/// The scope of a byte.
pub(crate) fn scope_of(byte: u8) -> Result<Scope, StoreError> {
    [
        Scope::Username,
        Scope::Email,
        Scope::Slug,
        Scope::Pair,
        Scope::Request,
    ]
    .into_iter()
    .find(|scope| scope_byte(*scope) == byte)
    .ok_or_else(|| StoreError::Damaged(format!("no scope has the number {byte}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_one_begins() {
        assert_eq!(end_of(&[1, 2]), Bound::Excluded(vec![1, 3]));
        assert_eq!(end_of(&[1, 255, 255]), Bound::Excluded(vec![2]));
        assert_eq!(end_of(&[255]), Bound::Unbounded);
    }
}
