//! When each message is to be sent. Open loop: the times are fixed before
//! the run and no answer moves them, so a slow server cannot make the load
//! gentler, nor its own latency look better.

/// A steady load: `rooms_all` rooms share `per_s` messages, evenly spread,
/// and this generator sends those of some of them.
#[derive(Debug, Clone)]
pub struct Schedule {
    start_ns: u64,
    /// Time between two messages of all rooms together.
    interval_ns: f64,
    rooms_all: u64,
    /// Rooms that are sent to from here.
    rooms: Vec<u32>,
    /// Messages taken so far.
    taken: u64,
    due_ns: u64,
    end_ns: u64,
}

impl Schedule {
    /// From `start_ns` to `end_ns` at `per_s` messages in all rooms together.
    pub fn new(rooms: Vec<u32>, rooms_all: usize, per_s: f64, start_ns: u64, end_ns: u64) -> Self {
        let interval_ns = if per_s > 0.0 {
            1e9 / per_s
        } else {
            f64::INFINITY
        };
        let mut schedule = Self {
            start_ns,
            interval_ns,
            rooms_all: rooms_all as u64,
            rooms,
            taken: 0,
            due_ns: u64::MAX,
            end_ns,
        };
        schedule.due_ns = schedule.due();
        schedule
    }

    /// When the next message is due; `u64::MAX` when there is none.
    #[inline]
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// Takes the next message if it is due: its room and its intended time.
    #[inline]
    pub fn take(&mut self, now_ns: u64) -> Option<(u32, u64)> {
        let intended = self.due_ns;
        if intended > now_ns {
            return None;
        }
        let at = self.taken % self.rooms.len() as u64;
        let room = *self.rooms.get(at as usize)?;
        self.taken += 1;
        self.due_ns = self.due();
        Some((room, intended))
    }

    fn due(&self) -> u64 {
        let here = self.rooms.len() as u64;
        let (Some(round), Some(at)) = (self.taken.checked_div(here), self.taken.checked_rem(here))
        else {
            return u64::MAX;
        };
        let room = self.rooms.get(at as usize).copied().unwrap_or(0);
        let place = round * self.rooms_all + u64::from(room);
        let due = self.start_ns as f64 + place as f64 * self.interval_ns;
        if due < self.end_ns as f64 {
            due as u64
        } else {
            u64::MAX
        }
    }
}
