//! A timer wheel without ticks: only slots in use exist, and nothing wakes
//! before the first of them is due. Each socket has one entry; one that comes
//! too early is set again.

use std::collections::BTreeMap;

use fanfare_protocol::limits::TIMER_SLOT_MS;

/// What is due when, in slots of `TIMER_SLOT_MS`; nothing comes early, and
/// nothing later than one slot.
#[derive(Debug)]
pub(super) struct Timers<T> {
    slots: BTreeMap<u64, Vec<T>>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self {
            slots: BTreeMap::new(),
        }
    }
}

impl<T> Timers<T> {
    /// Notes something that is due at a monotonic time in milliseconds.
    pub fn set(&mut self, due_ms: u64, what: T) {
        self.slots
            .entry(due_ms.div_ceil(TIMER_SLOT_MS))
            .or_default()
            .push(what);
    }

    /// When the first is due.
    pub fn next_ms(&self) -> Option<u64> {
        let (slot, _) = self.slots.first_key_value()?;
        Some(slot * TIMER_SLOT_MS)
    }

    /// Takes one slot that is due.
    pub fn take_due(&mut self, now_ms: u64) -> Option<Vec<T>> {
        let first = self.slots.first_entry()?;
        (first.key() * TIMER_SLOT_MS <= now_ms).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_early_and_nothing_later_than_a_slot() {
        let mut timers = Timers::default();
        for due_ms in [1, TIMER_SLOT_MS, TIMER_SLOT_MS + 1, 10 * TIMER_SLOT_MS] {
            timers.set(due_ms, due_ms);
        }
        let mut seen = Vec::new();
        while let Some(next_ms) = timers.next_ms() {
            assert!(timers.take_due(next_ms - 1).is_none());
            for due_ms in timers.take_due(next_ms).unwrap_or_default() {
                assert!((0..TIMER_SLOT_MS).contains(&(next_ms - due_ms)), "{due_ms}");
                seen.push(due_ms);
            }
        }
        assert_eq!(
            seen,
            [1, TIMER_SLOT_MS, TIMER_SLOT_MS + 1, 10 * TIMER_SLOT_MS]
        );
    }
}
