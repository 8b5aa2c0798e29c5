//! Whether every receiver got what it must, once and in order. Numbers of a
//! room rise by one, so a receiver remembers only which it expects next;
//! everything beyond that is written down where it happens and named.

use std::collections::{BTreeMap, HashSet};

/// What one receiver knows of one room.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    /// Index of the room.
    pub room: u32,
    /// The number expected next; 0 while any may come first.
    pub next: u64,
    /// The server's own number of the last delivery.
    pub seq: u64,
}

/// What can be wrong with a delivery.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Sent, not refused, never received.
    Lost,
    /// Received twice.
    Doubled,
    /// Received behind a later one.
    OutOfOrder,
    /// Received by somebody who is no member of the room.
    Misrouted,
    /// Received later than allowed.
    Late,
    /// The server's own number did not rise.
    SeqNotRising,
    /// A connection ended that should not have.
    Disconnected,
}

/// How often a fault was seen, and the first time.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    /// How often.
    pub count: u64,
    /// The first, for people.
    pub example: String,
}

/// Everything found wrong.
#[derive(Debug, Default)]
pub struct Findings {
    /// By kind.
    pub faults: BTreeMap<Fault, Seen>,
    /// Numbers skipped so far, by connection and room.
    skipped: BTreeMap<(u32, u32), HashSet<u64>>,
    /// (room, number) that the server refused.
    refused: HashSet<(u32, u64)>,
}

impl Findings {
    /// One delivery of `number`; says whether it is the first of this number.
    #[inline]
    pub fn delivery(&mut self, seat: &mut Seat, connection: u32, number: u64, seq: u64) -> bool {
        if seq != 0 {
            if seq <= seat.seq {
                self.seq_not_rising(seat, connection, seq);
            }
            seat.seq = seq;
        }
        if number == seat.next {
            seat.next += 1;
            return true;
        }
        self.unexpected(seat, connection, number)
    }

    /// Writes a fault down.
    #[cold]
    pub fn add(&mut self, fault: Fault, count: u64, example: impl FnOnce() -> String) {
        let seen = self.faults.entry(fault).or_default();
        if seen.count == 0 {
            seen.example = example();
        }
        seen.count += count;
    }

    /// The server did not take this message: nobody misses it.
    pub fn refused(&mut self, room: u32, number: u64) -> bool {
        self.refused.insert((room, number))
    }

    /// What the server did not take, as (room, number).
    pub fn all_refused(&self) -> impl Iterator<Item = (u32, u64)> {
        self.refused.iter().copied()
    }

    /// Takes over what other generators were refused.
    pub fn refuse_all(&mut self, refused: &HashSet<(u32, u64)>) {
        self.refused.extend(refused);
    }

    /// After the last delivery: what this receiver never got of the messages
    /// 1 to `sent` of the room.
    pub fn settle(&mut self, seat: &Seat, connection: u32, sent: u64) {
        let skipped = self.skipped.remove(&(connection, seat.room));
        let tail = if seat.next == 0 { sent + 1 } else { seat.next }..=sent;
        let mut lost: Vec<u64> = skipped.into_iter().flatten().chain(tail).collect();
        lost.retain(|number| !self.refused.contains(&(seat.room, *number)));
        lost.sort_unstable();
        if let Some(first) = lost.first() {
            self.add(Fault::Lost, lost.len() as u64, || {
                format!(
                    "message {first} of room {} never reached receiver {connection} ({} of {sent} missing there)",
                    seat.room,
                    lost.len()
                )
            });
        }
    }

    /// Takes over what another generator found.
    pub fn absorb(&mut self, other: Self) {
        for (fault, seen) in other.faults {
            self.add(fault, seen.count, || seen.example);
        }
        self.skipped.extend(other.skipped);
        self.refused.extend(other.refused);
    }

    #[cold]
    fn unexpected(&mut self, seat: &mut Seat, connection: u32, number: u64) -> bool {
        if seat.next == 0 {
            seat.next = number + 1;
            return true;
        }
        let room = seat.room;
        let key = (connection, room);
        if number > seat.next {
            let skipped = self.skipped.entry(key).or_default();
            skipped.extend(seat.next..number);
            seat.next = number + 1;
            return true;
        }
        let late = (self.skipped.get_mut(&key)).is_some_and(|skipped| skipped.remove(&number));
        if late {
            self.add(Fault::OutOfOrder, 1, || {
                format!("message {number} of room {room} reached receiver {connection} behind later ones")
            });
        } else {
            self.add(Fault::Doubled, 1, || {
                format!("message {number} of room {room} reached receiver {connection} twice")
            });
        }
        late
    }

    #[cold]
    fn seq_not_rising(&mut self, seat: &Seat, connection: u32, seq: u64) {
        let (room, before) = (seat.room, seat.seq);
        self.add(Fault::SeqNotRising, 1, || {
            format!("seq {seq} of room {room} reached receiver {connection} behind seq {before}")
        });
    }
}
