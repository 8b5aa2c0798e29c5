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

#[cfg(test)]
mod tests {
    use super::*;

    /// All messages that are due until `until_ns`.
    fn taken(schedule: &mut Schedule, until_ns: u64) -> Vec<(u32, u64)> {
        std::iter::from_fn(|| schedule.take(until_ns)).collect()
    }

    #[test]
    fn times_are_spread_evenly_and_fixed_before() {
        let mut schedule = Schedule::new(vec![0, 1], 2, 4.0, 1_000, 1_000_001_000);
        let all = taken(&mut schedule, u64::MAX - 1);
        let quarter = 250_000_000;
        let expected = [(0, 0), (1, quarter), (0, 2 * quarter), (1, 3 * quarter)];
        assert_eq!(all, expected.map(|(room, at)| (room, at + 1_000)));
        assert_eq!(schedule.due_ns(), u64::MAX);
    }

    #[test]
    fn a_late_generator_keeps_the_intended_times() {
        let mut prompt = Schedule::new(vec![0], 1, 1000.0, 0, 1_000_000_000);
        let mut late = prompt.clone();
        let mut one_by_one = Vec::new();
        for now in 0..1000 {
            one_by_one.extend(taken(&mut prompt, now * 1_000_000));
        }
        // Stalled for the whole second: everything at once, at its own time.
        assert_eq!(taken(&mut late, 999_000_000), one_by_one);
        assert_eq!(one_by_one.len(), 1000);
    }

    #[test]
    fn several_generators_send_what_one_would() {
        let whole = taken(
            &mut Schedule::new((0..7).collect(), 7, 70.0, 5, 1_000_000_005),
            u64::MAX - 1,
        );
        let mut parts = Vec::new();
        for nth in 0..3 {
            let rooms = (0..7).filter(|room| room % 3 == nth).collect();
            parts.extend(taken(
                &mut Schedule::new(rooms, 7, 70.0, 5, 1_000_000_005),
                u64::MAX - 1,
            ));
        }
        parts.sort_by_key(|(_, at)| *at);
        assert_eq!(parts, whole);
    }

    #[test]
    fn nothing_is_due_without_rooms_or_rate() {
        assert_eq!(Schedule::new(Vec::new(), 0, 10.0, 0, 100).take(50), None);
        let none = Schedule::new(vec![0], 1, 0.0, 0, 100).due_ns();
        assert_eq!(none, u64::MAX);
    }
}
