//! The machine of leases behind a lock: asked by many, told by the keeper.

use std::collections::BTreeMap;

use fanfare_engine::lease::{Effect, Input, Lease, NodeName, Resignation, Terms};
use fanfare_engine::port::Ownership;
use parking_lot::Mutex;

use crate::clock;

/// What this node owns by its lease.
pub struct Tenure {
    me: NodeName,
    pub(super) terms: Terms,
    folder_locked: bool,
    machine: Mutex<Lease>,
    /// Slots with a log that knows a higher epoch, at most one number each.
    above: Mutex<BTreeMap<u16, u64>>,
    #[cfg(test)]
    doomed: std::sync::atomic::AtomicBool,
}

impl Tenure {
    /// Of a node without any slot. See [`Lease::new`] for `folder_locked`.
    pub fn new(me: NodeName, folder_locked: bool, terms: Terms) -> Self {
        Self {
            me: me.clone(),
            terms,
            folder_locked,
            machine: Mutex::new(Lease::new(me, folder_locked, terms)),
            above: Mutex::default(),
            #[cfg(test)]
            doomed: false.into(),
        }
    }

    /// A log in a slot knows an epoch above the slot's: the slot is
    /// raised above it, at the next tick.
    pub fn epoch_above(&self, slot: u16, above: u64) {
        let mut all = self.above.lock();
        let highest = all.entry(slot).or_default();
        *highest = above.max(*highest);
    }

    /// Whether this node and another one that goes first share the slots. A
    /// node that owns none waits as it is; one that owns all has no rival.
    pub(super) fn yields(&self) -> Option<NodeName> {
        let lease = self.machine.lock();
        let rival = lease.rival().filter(|rival| **rival < self.me)?;
        (lease.owned_of_wanted().0 > 0).then(|| rival.clone())
    }

    /// Whether an earlier life of this node has certainly ended.
    pub(super) fn folder_locked(&self) -> bool {
        self.folder_locked
    }

    pub(super) fn take_above(&self) -> BTreeMap<u16, u64> {
        std::mem::take(&mut *self.above.lock())
    }

    /// Why this node does not serve everything that it ought to, if so.
    ///
    /// # Errors
    /// A sentence for `/readyz`.
    pub fn ready(&self) -> Result<(), String> {
        let lease = self.machine.lock();
        if !lease.is_held(clock::moment()) {
            return Err("this node holds no lease".to_owned());
        }
        match lease.owned_of_wanted() {
            (owned, wanted) if owned == wanted => Ok(()),
            (owned, wanted) => Err(format!("this node owns {owned} of {wanted} slots")),
        }
    }

    /// Ends in order; see [`Lease::resign`]. Slots are owned no more.
    pub fn resign(&self) -> Resignation {
        self.machine.lock().resign()
    }

    /// The keeper dies with what it is told next, to see that another one
    /// takes over.
    #[cfg(test)]
    pub fn doom(&self) {
        use std::sync::atomic::Ordering;
        self.doomed.store(true, Ordering::SeqCst);
    }

    pub(super) fn handle(&self, input: Input) -> Vec<Effect> {
        #[cfg(test)]
        if self.doomed.swap(false, std::sync::atomic::Ordering::SeqCst) {
            panic!("a keeper dies, as a test asked");
        }
        self.machine.lock().handle(input, clock::moment())
    }

    pub(super) fn is_held(&self) -> bool {
        self.machine.lock().is_held(clock::moment())
    }

    pub(super) fn owned(&self) -> usize {
        self.machine.lock().owned_of_wanted().0
    }
}

impl Ownership for Tenure {
    fn serves(&self, slot: u16) -> Option<u64> {
        self.machine.lock().admits(slot, clock::moment())
    }

    fn keeps(&self, slot: u16, epoch: u64) -> bool {
        self.machine.lock().epoch(slot) == Some(epoch)
    }

    fn holds(&self, slot: u16, epoch: u64) -> bool {
        self.machine.lock().holds(slot, epoch, clock::moment())
    }
}
