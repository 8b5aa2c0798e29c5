//! Two leases on two clocks.
