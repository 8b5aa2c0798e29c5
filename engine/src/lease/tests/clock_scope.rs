//! How much happens in the model of clocks, and what may happen next.

use crate::lease::Terms;

/// How much happens, and what was built wrong on purpose.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Steps of time.
    pub steps: u8,
    /// Of each kind, at most: requests that are late or get lost, processes
    /// that stop for a while or end and start again, and steps that a clock misses.
    pub faults: u8,
    pub restarts: u8,
    pub slow: u8,
    /// The store is out once, for any time.
    pub outage: bool,
    /// The first process gives the slot up at some time.
    pub hand_off: bool,
    /// So often a process steps back for a while, or ends in order.
    pub leaves: u8,
    /// There is a second slot: nobody's, the second process is about to claim
    /// it, and the first one wants it too when it starts again.
    pub second_slot: bool,
    /// Both processes are of one name, as two copies of a folder are.
    pub one_name: bool,
    /// Nobody owns the slot at the beginning.
    pub unowned: bool,
    pub folder_lock_believed: bool,
    pub gaps_ignored: bool,
    pub no_margin: bool,
    pub counts_from_answer: bool,
    pub renewals_imagined: bool,
    pub ends_while_owning: bool,
}

impl Scope {
    pub const NONE: Self = Self {
        steps: 0,
        faults: 0,
        restarts: 0,
        slow: 0,
        outage: false,
        hand_off: false,
        leaves: 0,
        second_slot: false,
        one_name: false,
        unowned: false,
        folder_lock_believed: false,
        gaps_ignored: false,
        no_margin: false,
        counts_from_answer: false,
        renewals_imagined: false,
        ends_while_owning: false,
    };

    pub fn terms(self) -> Terms {
        Terms {
            lease_ms: 3,
            renew_ms: 1,
            margin_ms: u64::from(!self.no_margin),
            gap_ms: if self.gaps_ignored { 100 } else { 1 },
            poll_ms: 1,
            look_ms: if self.hand_off { 1 } else { 100 },
            retry_ms: 1,
            hand_off_ms: 1,
            come_back_ms: 1,
            swaps_at_once: 1,
            ..Terms::default()
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// A step of time; the clock of one process may miss it.
    Passes(Option<usize>),
    /// The store carries the oldest request out and answers it.
    Serves(usize),
    /// It carries it out, but the answer is late.
    Delays(usize),
    /// The request itself is late.
    Holds(usize),
    /// Whatever was late comes.
    Comes(usize),
    /// The oldest request fails; whether it is carried out nobody knows.
    Fails(usize),
    /// One that failed is carried out all the same.
    Lands,
    Stops(usize),
    GoesOn(usize),
    /// The process ends and starts again, with its folder's lock.
    Restarts(usize),
    GoesOut,
    IsBack,
    /// The first process is no longer to own the slot.
    Unassigns,
    /// The process gives everything up; it may start again.
    StepsBack(usize),
    /// One that stepped back goes on.
    Starts(usize),
    /// The process ends in order.
    Resigns(usize),
}
