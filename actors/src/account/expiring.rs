//! A bounded map whose values all live equally long.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use fanfare_protocol::Timestamp;

/// Values by key, each until its end. Since all live equally long, the order
/// of arrival is the order of ending, and forgetting costs nothing extra.
pub(super) struct Expiring<K, V> {
    values: HashMap<K, (V, Timestamp)>,
    order: VecDeque<(K, Timestamp)>,
    entries_max: usize,
}

impl<K: Copy + Eq + Hash, V> Expiring<K, V> {
    /// An empty map of at most `entries_max` values, those taken before
    /// their end included.
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            values: HashMap::new(),
            order: VecDeque::new(),
            entries_max,
        }
    }

    /// Keeps `value` until `ends_at`; `false` when the map is full.
    pub(super) fn insert(&mut self, now: Timestamp, key: K, value: V, ends_at: Timestamp) -> bool {
        self.forget_ended(now);
        if self.order.len() >= self.entries_max {
            return false;
        }
        self.values.insert(key, (value, ends_at));
        self.order.push_back((key, ends_at));
        true
    }

    /// Forgets the value that would end first.
    pub(super) fn forget_oldest(&mut self) {
        if let Some((key, ends_at)) = self.order.pop_front() {
            self.forget(key, ends_at);
        }
    }

    /// Takes a value that has not ended.
    pub(super) fn take(&mut self, now: Timestamp, key: &K) -> Option<V> {
        let (value, ends_at) = self.values.remove(key)?;
        (now < ends_at).then_some(value)
    }

    /// Whether the key has a value that has not ended.
    pub(super) fn contains(&self, now: Timestamp, key: &K) -> bool {
        self.values
            .get(key)
            .is_some_and(|(_, ends_at)| now < *ends_at)
    }

    fn forget_ended(&mut self, now: Timestamp) {
        while let Some((key, ends_at)) = self.order.front().copied()
            && ends_at <= now
        {
            self.order.pop_front();
            self.forget(key, ends_at);
        }
    }

    /// A key that came again has a later end, and stays.
    fn forget(&mut self, key: K, ends_at: Timestamp) {
        if self
            .values
            .get(&key)
            .is_some_and(|(_, end)| *end <= ends_at)
        {
            self.values.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_and_make_room() {
        let mut map = Expiring::new(2);
        assert!(map.insert(Timestamp(0), 1, 'a', Timestamp(10)));
        assert!(map.insert(Timestamp(5), 2, 'b', Timestamp(15)));
        assert!(!map.insert(Timestamp(9), 3, 'c', Timestamp(19)), "full");
        assert!(map.contains(Timestamp(9), &1) && !map.contains(Timestamp(10), &1));
        assert!(map.insert(Timestamp(10), 3, 'c', Timestamp(20)));
        assert_eq!(map.values.len(), 2);
        assert_eq!(map.take(Timestamp(11), &2), Some('b'));
        assert_eq!(map.take(Timestamp(11), &2), None, "one use");
        assert_eq!(map.take(Timestamp(20), &3), None, "ended");
    }

    #[test]
    fn a_key_that_came_again_lives_on() {
        let mut map = Expiring::new(3);
        map.insert(Timestamp(0), 1, 'a', Timestamp(10));
        map.insert(Timestamp(5), 1, 'a', Timestamp(15));
        map.insert(Timestamp(12), 2, 'b', Timestamp(22));
        assert!(map.contains(Timestamp(12), &1));
    }
}
