//! What is to fail, and how often which operation was asked for.

use std::collections::{HashMap, VecDeque};

use fanfare_engine::port::StoreError;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Fault, Operation};

/// Makes a wrapped store fail.
pub struct Switch {
    state: Mutex<State>,
    released: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    operations: u64,
    counts: HashMap<Operation, u64>,
    standings: usize,
    dies_at: Option<(u64, Fault)>,
    is_dead: bool,
    next: HashMap<Operation, VecDeque<Fault>>,
    hanging: usize,
}

impl Switch {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            released: watch::Sender::new(0),
        }
    }

    /// Operations asked for so far, refused ones included.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// How often this one was asked for so far.
    pub fn count(&self, operation: Operation) -> u64 {
        let state = self.state.lock();
        state.counts.get(&operation).copied().unwrap_or(0)
    }

    /// Users whose standings were asked for.
    pub fn standings(&self) -> usize {
        self.state.lock().standings
    }

    pub(super) fn asked_for(&self, users: usize) {
        self.state.lock().standings += users;
    }

    /// The store dies at operation number `number` (the first ever has
    /// number 1), which fails like this; every later one is `Unavailable`.
    pub fn die_at(&self, number: u64, last: Fault) {
        self.state.lock().dies_at = Some((number, last));
    }

    /// The store dies at once.
    pub fn die(&self) {
        self.state.lock().is_dead = true;
    }

    /// Whether it died.
    pub fn is_dead(&self) -> bool {
        self.state.lock().is_dead
    }

    /// The store comes back, with what it holds; what was still to fail is
    /// forgotten.
    pub fn revive(&self) {
        let mut state = self.state.lock();
        state.is_dead = false;
        state.dies_at = None;
        state.next.clear();
    }

    /// The next operation of this kind fails like this; called again, the
    /// one after it.
    pub fn fail_next(&self, operation: Operation, fault: Fault) {
        let mut state = self.state.lock();
        state.next.entry(operation).or_default().push_back(fault);
    }

    /// Operations that hang now.
    pub fn hanging(&self) -> usize {
        self.state.lock().hanging
    }

    /// Lets all that hang go on.
    pub fn release(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    /// Counts an operation and says how it fails, if it does.
    pub(super) fn fate(&self, operation: Operation) -> Option<Fault> {
        let mut state = self.state.lock();
        state.operations += 1;
        *state.counts.entry(operation).or_default() += 1;
        if state.is_dead {
            return Some(Fault::Unavailable);
        }
        if let Some((number, last)) = state.dies_at
            && number == state.operations
        {
            state.is_dead = true;
            return Some(last);
        }
        state.next.get_mut(&operation)?.pop_front()
    }

    /// Waits for the next release.
    ///
    /// # Errors
    /// `OutcomeUnknown` when the store is dead by then.
    pub(super) async fn hang(&self) -> Result<(), StoreError> {
        let mut released = self.released.subscribe();
        let hanging = Hanging::begin(self);
        // The sender lives in `self`: this cannot fail.
        drop(released.changed().await);
        drop(hanging);
        if self.is_dead() {
            return Err(StoreError::OutcomeUnknown("died while it hung".into()));
        }
        Ok(())
    }
}

/// Counts one hanging operation, also when its caller gives up.
struct Hanging<'a>(&'a Switch);

impl<'a> Hanging<'a> {
    fn begin(switch: &'a Switch) -> Self {
        switch.state.lock().hanging += 1;
        Self(switch)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.state.lock().hanging -= 1;
    }
}
