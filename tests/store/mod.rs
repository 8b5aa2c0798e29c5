//! What looks after the data, through the real binary: backup and restore, check,
//! copy.

mod backup;
mod check;
mod command;
mod copy;
mod moving;
