//! Deliveries broken on purpose.

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Left out
    Lose,
    /// Written twice
    Double,
    /// Written behind the next one
    Swap,
    /// That receiver gets this and everything after it 300 ms later
    Late,
    /// Given to somebody who is no member of the room as well
    Misroute,
}

/// How long a [`Kind::Late`] receiver waits.
pub(super) const LATE_MS: u64 = 300;

/// Every so many deliveries one is broken.
#[derive(Debug)]
pub(super) struct Faults {
    kind: Option<Kind>,
    every: u64,
    delivered: u64,
}

impl Faults {
    pub(super) fn new(kind: Option<Kind>, every: u64) -> Self {
        Self {
            kind,
            every: every.max(1),
            delivered: 0,
        }
    }

    /// Whether any are planted.
    pub(super) fn planted(&self) -> bool {
        self.kind.is_some()
    }

    /// Counts a delivery; what to do to it.
    pub(super) fn next(&mut self) -> Option<Kind> {
        self.delivered += 1;
        self.kind
            .filter(|_| self.delivered.is_multiple_of(self.every))
    }
}
