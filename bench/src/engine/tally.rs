//! What one generator counts: deliveries and whether they were right, their
//! latency from the intended time, and how late the generator itself was.

use hdrhistogram::Histogram;

use crate::check::{Fault, Findings, Seat, Seen};
use crate::dialect::{Delivery, Sink};

/// Counts and times since the last [`Tally::reset_times`], findings since
/// the beginning.
#[derive(Debug)]
pub struct Tally {
    /// First receptions of a message by a receiver.
    pub received: u64,
    /// Frames that were no deliveries.
    pub others: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages refused by the server, and the first reason.
    pub refused: u64,
    /// The first refusal.
    pub refusal: String,
    /// How long things took.
    pub times: Times,
    /// Connections that are ready.
    pub ready: usize,
    /// Connections that ended or never came up.
    pub dead: usize,
    /// Those of them that never became ready, and why the first did not.
    pub unready: Seen,
    /// What went wrong with deliveries.
    pub findings: Findings,
    /// Deliveries later than this are [`Fault::Late`].
    pub late_ns: u64,
    /// Only messages intended from here on count for latency.
    pub measure_from_ns: u64,
}

impl Tally {
    /// Nothing yet.
    pub fn new(late_ns: u64) -> Self {
        Self {
            received: 0,
            others: 0,
            bytes: 0,
            sent: 0,
            refused: 0,
            refusal: String::new(),
            times: Times::default(),
            ready: 0,
            dead: 0,
            unready: Seen::default(),
            findings: Findings::default(),
            late_ns,
            measure_from_ns: 0,
        }
    }

    /// Times count anew, for messages intended from `from_ns` on.
    pub fn reset_times(&mut self, from_ns: u64) {
        self.times.latency.reset();
        self.times.send_lag.reset();
        self.times.read_lag.reset();
        self.measure_from_ns = from_ns;
    }

    /// Adds what another generator counted.
    pub fn absorb(&mut self, other: Self) {
        self.received += other.received;
        self.others += other.others;
        self.bytes += other.bytes;
        self.sent += other.sent;
        self.refused += other.refused;
        if self.refusal.is_empty() {
            self.refusal = other.refusal;
        }
        self.times.add(&other.times);
        self.ready += other.ready;
        self.dead += other.dead;
        self.unready
            .add(other.unready.count, || other.unready.example);
        self.findings.absorb(other.findings);
    }
}

/// How long things took, ns.
#[derive(Debug, Clone)]
pub struct Times {
    /// Delivery latency from the intended send time.
    pub latency: Histogram<u64>,
    /// How late messages were sent.
    pub send_lag: Histogram<u64>,
    /// How long a socket with bytes may have waited for this generator.
    pub read_lag: Histogram<u64>,
    /// From starting to connect until ready.
    pub connect: Histogram<u64>,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            latency: histogram(),
            send_lag: histogram(),
            read_lag: histogram(),
            connect: histogram(),
        }
    }
}

impl Times {
    /// Adds what another generator measured.
    pub fn add(&mut self, other: &Self) {
        for (mine, others) in [
            (&mut self.latency, &other.latency),
            (&mut self.send_lag, &other.send_lag),
            (&mut self.read_lag, &other.read_lag),
            (&mut self.connect, &other.connect),
        ] {
            // Same bounds: adding cannot fail.
            let _ = mine.add(others);
        }
    }
}

/// Up to a minute, three digits.
fn histogram() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "fixed, valid bounds")]
    Histogram::new_with_bounds(100, 60_000_000_000, 3).expect("valid bounds")
}

/// The tally in the hands of one connection while its bytes are read.
pub(super) struct Hand<'a> {
    pub tally: &'a mut Tally,
    pub seats: &'a mut [Seat],
    pub out: &'a mut Vec<u8>,
    pub ready: &'a mut bool,
    pub connection: u32,
    pub now_ns: u64,
    pub started_ns: u64,
}

/// Up to this many rooms are searched one by one.
const FEW_SEATS: usize = 16;

impl Sink for Hand<'_> {
    fn ready(&mut self) {
        if !std::mem::replace(self.ready, true) {
            self.tally.ready += 1;
            let took = self.now_ns - self.started_ns;
            self.tally.times.connect.saturating_record(took);
        }
    }

    #[inline]
    fn delivery(&mut self, delivery: Delivery) {
        let room = delivery.room;
        let at = if self.seats.len() <= FEW_SEATS {
            self.seats.iter().position(|seat| seat.room == room)
        } else {
            self.seats
                .binary_search_by_key(&room, |seat| seat.room)
                .ok()
        };
        let Some(seat) = at.and_then(|at| self.seats.get_mut(at)) else {
            return misrouted(self.tally, self.connection, &delivery);
        };
        let (number, seq) = (delivery.number, delivery.seq.unwrap_or(0));
        let first = (self.tally.findings).delivery(seat, self.connection, number, seq);
        if !first {
            return;
        }
        self.tally.received += 1;
        if delivery.intended_ns >= self.tally.measure_from_ns {
            let latency = self.now_ns.saturating_sub(delivery.intended_ns);
            self.tally.times.latency.saturating_record(latency);
            if latency > self.tally.late_ns {
                late(self.tally, self.connection, &delivery, latency);
            }
        }
    }

    fn refused(&mut self, room: u32, number: u64, why: &str) {
        if self.tally.findings.refused(room, number) {
            self.tally.refused += 1;
            if self.tally.refusal.is_empty() {
                self.tally.refusal = why.to_owned();
            }
        }
    }

    fn other(&mut self) {
        self.tally.others += 1;
    }

    fn answer(&mut self) -> &mut Vec<u8> {
        self.out
    }
}

#[cold]
fn misrouted(tally: &mut Tally, connection: u32, delivery: &Delivery) {
    let Delivery { room, number, .. } = *delivery;
    tally.findings.add(Fault::Misrouted, 1, || {
        format!("message {number} of room {room} reached receiver {connection}, who is no member")
    });
}

#[cold]
fn late(tally: &mut Tally, connection: u32, delivery: &Delivery, latency_ns: u64) {
    let Delivery { room, number, .. } = *delivery;
    tally.findings.add(Fault::Late, 1, || {
        format!(
            "message {number} of room {room} reached receiver {connection} after {} ms",
            latency_ns / 1_000_000
        )
    });
}
