//! The whole system, black box, against the real binary.

mod tidy;
