//! A bounded queue between callers and the store's own threads: bounded in
//! items and in bytes, but one item of any size fits an empty one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Why an item was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too much is waiting.
    Full,
    /// Nobody will take anything out any more.
    Closed,
}

/// What there was to take out.
pub(super) enum Taken<T> {
    /// At least one item, oldest first.
    Items(Vec<T>),
    /// Nothing came in time.
    Idle,
    /// Closed, and empty.
    Closed,
}

/// How long one who takes lets more come, once something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gather {
    /// Until so many items wait.
    pub(super) wanted: usize,
    /// At most for so long.
    pub(super) window: Duration,
}

impl Gather {
    /// Takes what is there.
    pub(super) const NOT: Self = Self {
        wanted: 1,
        window: Duration::ZERO,
    };
}

/// A bounded queue.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    items_max: usize,
    bytes_max: usize,
}

struct State<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    is_closed: bool,
    /// Whoever takes is woken when so many items wait, or so many bytes.
    wanted: usize,
    wanted_bytes: usize,
}

impl<T> State<T> {
    fn is_wanted(&self) -> bool {
        self.is_closed || self.items.len() >= self.wanted || self.bytes >= self.wanted_bytes
    }
}

impl<T> Queue<T> {
    /// An empty queue with its bounds.
    pub(super) fn new(items_max: usize, bytes_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                is_closed: false,
                wanted: 1,
                wanted_bytes: usize::MAX,
            }),
            filled: Condvar::new(),
            items_max,
            bytes_max,
        }
    }

    /// Puts an item in; returns how many wait now.
    pub(super) fn push(&self, bytes: usize, item: T) -> Result<usize, Refused> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        let is_full = state.items.len() >= self.items_max
            || state.bytes.saturating_add(bytes) > self.bytes_max;
        if is_full && !state.items.is_empty() {
            return Err(Refused::Full);
        }
        state.bytes += bytes;
        state.items.push_back((bytes, item));
        let waiting = state.items.len();
        let wake = state.is_wanted();
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(waiting)
    }

    /// Takes what waits, up to `items_max` and about `bytes_max`; waits for
    /// something at most `patience`, without one for ever. Once something waits
    /// `gather` is asked whether to let more come. It is for one taker only: who
    /// has others beside it does not gather.
    pub(super) fn take(
        &self,
        items_max: usize,
        bytes_max: usize,
        patience: Option<Duration>,
        gather: impl FnOnce() -> Gather,
    ) -> Taken<T> {
        let mut state = self.state.lock();
        while state.items.is_empty() {
            if state.is_closed {
                return Taken::Closed;
            }
            let Some(patience) = patience else {
                self.filled.wait(&mut state);
                continue;
            };
            let waited = self.filled.wait_for(&mut state, patience);
            if waited.timed_out() && state.items.is_empty() && !state.is_closed {
                return Taken::Idle;
            }
        }
        let Gather { wanted, window } = gather();
        if !window.is_zero() {
            let until = Instant::now() + window;
            (state.wanted, state.wanted_bytes) = (wanted.min(items_max), bytes_max);
            while !state.is_wanted() {
                if self.filled.wait_until(&mut state, until).timed_out() {
                    break;
                }
            }
            (state.wanted, state.wanted_bytes) = (1, usize::MAX);
        }
        let (mut taken, mut bytes_taken) = (Vec::new(), 0usize);
        while taken.len() < items_max && (taken.is_empty() || bytes_taken < bytes_max) {
            let Some((bytes, item)) = state.items.pop_front() else {
                break;
            };
            bytes_taken += bytes;
            taken.push(item);
        }
        state.bytes = state.bytes.saturating_sub(bytes_taken);
        Taken::Items(taken)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().items.len()
    }

    /// Takes nothing in any more; what waits can still be taken out.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_all();
    }

    /// Closes and hands over what waits.
    pub(super) fn close_and_drain(&self) -> Vec<T> {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.bytes = 0;
        let items = std::mem::take(&mut state.items);
        drop(state);
        self.filled.notify_all();
        items.into_iter().map(|(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(queue: &Queue<u8>) -> Option<Vec<u8>> {
        match queue.take(2, 100, Some(Duration::ZERO), || Gather::NOT) {
            Taken::Items(items) => Some(items),
            Taken::Idle => Some(Vec::new()),
            Taken::Closed => None,
        }
    }

    #[test]
    fn it_is_bounded_in_items_and_bytes() {
        let queue = Queue::new(2, 10);
        assert_eq!(queue.push(999, 1), Ok(1), "anything fits an empty queue");
        assert_eq!(queue.push(1, 2), Err(Refused::Full));
        assert_eq!(taken(&queue), Some(vec![1]));
        assert_eq!(queue.push(4, 2), Ok(1));
        assert_eq!(queue.push(4, 3), Ok(2));
        assert_eq!(queue.push(0, 4), Err(Refused::Full));
        assert_eq!(taken(&queue), Some(vec![2, 3]));
        assert_eq!(taken(&queue), Some(vec![]));
    }

    /// Pushes in a thread until the queue is closed or all are in.
    fn pushing(queue: &std::sync::Arc<Queue<u8>>, items: u8, bytes: usize) {
        let queue = std::sync::Arc::clone(queue);
        std::thread::spawn(move || {
            for item in 0..items {
                queue.push(bytes, item).unwrap();
            }
        });
    }

    fn gathered(queue: &Queue<u8>, wanted: usize, bytes_max: usize) -> usize {
        // Longer than anything takes here: whoever waits it out was not woken.
        let window = Duration::from_secs(20);
        let begun = Instant::now();
        let taken = queue.take(100, bytes_max, Some(window), || Gather { wanted, window });
        assert!(begun.elapsed() < window, "nothing woke who gathers");
        match taken {
            Taken::Items(items) => items.len(),
            Taken::Idle | Taken::Closed => 0,
        }
    }

    #[test]
    fn who_gathers_waits_for_as_many_as_are_wanted() {
        let queue = std::sync::Arc::new(Queue::new(100, 1000));
        pushing(&queue, 5, 1);
        assert_eq!(gathered(&queue, 5, 1000), 5);
        // What is wanted once is not wanted the next time.
        pushing(&queue, 1, 1);
        assert_eq!(taken_one(&queue), 1);
    }

    #[test]
    fn who_gathers_waits_no_longer_than_the_window_for_bytes_or_once_closed() {
        let queue = std::sync::Arc::new(Queue::new(100, 1000));
        queue.push(1, 1).unwrap();
        let short = || Gather {
            wanted: 2,
            window: Duration::from_millis(1),
        };
        assert!(matches!(queue.take(9, 9, None, short), Taken::Items(one) if one.len() == 1));
        pushing(&queue, 2, 50);
        assert_eq!(gathered(&queue, 50, 100), 2, "as many bytes as one takes");
        queue.push(1, 1).unwrap();
        queue.close();
        assert_eq!(gathered(&queue, 50, 100), 1);
    }

    fn taken_one(queue: &Queue<u8>) -> usize {
        match queue.take(1, 1000, None, || Gather::NOT) {
            Taken::Items(items) => items.len(),
            Taken::Idle | Taken::Closed => 0,
        }
    }

    #[test]
    fn closed_it_gives_out_what_it_holds_and_takes_nothing() {
        let queue = Queue::new(9, 9);
        assert_eq!(queue.push(1, 1), Ok(1));
        queue.close();
        assert_eq!(queue.push(1, 2), Err(Refused::Closed));
        assert_eq!(taken(&queue), Some(vec![1]));
        assert_eq!(taken(&queue), None);
        assert_eq!(queue.waiting(), 0);
    }
}
