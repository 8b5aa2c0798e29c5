//! What people can do, as scripts of Alice and Bob: one file per feature.

mod accounts;
mod asleep;
mod conversations;
mod doctor;
mod events;
mod history_pages;
mod keys;
mod marks;
mod membership;
mod messages;
mod operators;
mod reactions;
mod resume;
mod sessions;
mod strangers;
