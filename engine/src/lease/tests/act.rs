//! What may happen next in the model.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// The slot is claimed: from nobody, from one that is down or has lapsed
    /// (fenced first), or by a new process of the same data folder.
    Claim(usize),
    Lapse(usize),
    /// A lease that lapsed is renewed, as nobody fenced it.
    Renew(usize),
    /// The process ends, or the engine hears that it was fenced: either way
    /// nothing is left of that incarnation but its writes in limbo.
    Ends(usize),
    RoomStarts(usize),
    RoomCrashes(usize),
    RoomSleeps(usize),
    /// A read of the activation, in one of the ways.
    Read(usize, usize),
    /// A write returned: it is durable.
    Written(usize),
    Append(usize, usize),
    /// Scope: an append whose outcome is unknown is taken for not written.
    Forget(usize),
    ReaderRows(usize),
    ReaderEpochs(usize),
}
