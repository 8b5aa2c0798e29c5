//! The actors together, over the memory store and real sockets: what the
//! whole system's tests cannot reach because the store must fail on command.

mod faults;
mod hellos;
mod leases;
mod lists;
mod overtaken;
mod places;
mod reads;
mod recent;
mod rest;
mod rooms;
mod slow;
mod world;
