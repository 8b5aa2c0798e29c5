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

impl Seen {
    /// So many more; the example is asked for once.
    pub fn add(&mut self, count: u64, example: impl FnOnce() -> String) {
        if self.count == 0 && count > 0 {
            self.example = example();
        }
        self.count += count;
    }
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
        self.faults.entry(fault).or_default().add(count, example);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when a receiver gets `numbers` of 1 to `sent`.
    fn found(numbers: &[u64], sent: u64, refused: &[u64]) -> Vec<(Fault, u64)> {
        let mut findings = Findings::default();
        let mut seat = Seat {
            room: 3,
            next: 1,
            seq: 0,
        };
        for number in refused {
            findings.refused(3, *number);
        }
        for number in numbers {
            findings.delivery(&mut seat, 9, *number, 0);
        }
        findings.settle(&seat, 9, sent);
        findings
            .faults
            .iter()
            .map(|(fault, seen)| (*fault, seen.count))
            .collect()
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(found(&[1, 2, 3, 4], 4, &[]), []);
        assert_eq!(found(&[1, 2, 4], 4, &[]), [(Fault::Lost, 1)]);
        assert_eq!(found(&[1, 2], 4, &[]), [(Fault::Lost, 2)]);
        assert_eq!(found(&[], 4, &[]), [(Fault::Lost, 4)]);
        assert_eq!(found(&[1, 2, 2, 3, 4], 4, &[]), [(Fault::Doubled, 1)]);
        assert_eq!(found(&[1, 3, 2, 4], 4, &[]), [(Fault::OutOfOrder, 1)]);
        assert_eq!(found(&[4, 3, 2, 1], 4, &[]), [(Fault::OutOfOrder, 3)]);
        let all = [
            (Fault::Lost, 1),
            (Fault::Doubled, 1),
            (Fault::OutOfOrder, 1),
        ];
        assert_eq!(found(&[1, 3, 2, 3, 5], 5, &[]), all);
    }

    #[test]
    fn what_was_refused_is_not_missed() {
        assert_eq!(found(&[1, 2, 5], 5, &[3, 4]), []);
        assert_eq!(found(&[1, 2], 5, &[3, 4]), [(Fault::Lost, 1)]);
    }

    #[test]
    fn a_second_of_a_skipped_one_is_a_double() {
        let all = [(Fault::Doubled, 1), (Fault::OutOfOrder, 1)];
        assert_eq!(found(&[1, 3, 2, 2], 3, &[]), all);
    }

    #[test]
    fn the_servers_numbers_must_rise() {
        let mut findings = Findings::default();
        let mut seat = Seat {
            room: 0,
            next: 1,
            seq: 0,
        };
        for (number, seq) in [(1, 10), (2, 11), (3, 11)] {
            findings.delivery(&mut seat, 0, number, seq);
        }
        let seen = &findings.faults[&Fault::SeqNotRising];
        assert_eq!(seen.count, 1);
        assert!(
            seen.example.contains("seq 11 of room 0"),
            "{}",
            seen.example
        );
    }

    #[test]
    fn the_first_example_is_kept() {
        let mut findings = Findings::default();
        let mut seat = Seat {
            room: 1,
            next: 1,
            seq: 0,
        };
        for number in [1, 2, 1, 2] {
            findings.delivery(&mut seat, 7, number, 0);
        }
        let seen = &findings.faults[&Fault::Doubled];
        assert_eq!(seen.count, 2);
        assert_eq!(seen.example, "message 1 of room 1 reached receiver 7 twice");
    }
}
