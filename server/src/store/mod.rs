//! `fanfare store`: checks what a store holds, copies it to another. The
//! stores are opened here without starting a server.

mod check;
mod copy;
mod follow;
mod place;
mod report;
mod tell;

pub use check::check;
pub use copy::copy;
pub use place::{Location, configured};
