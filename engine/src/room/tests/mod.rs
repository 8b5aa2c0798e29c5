//! Tests of the room.

mod activation;
