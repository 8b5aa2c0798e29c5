//! Ticks of one room: closed when due, whatever else goes on.

use fanfare_protocol::Refusal;

use super::gather::{Closed, Tick, close_moves, close_reactions};
use super::machine::{Now, Output, Room};
use super::state::Needs;

impl Room {
    pub(super) fn close_ticks(&mut self, now: Now, out: &mut Vec<Output>) {
        self.close_moves(now, out);
        let gather_ms = self.limits.reactions_gather_ms;
        let ticks = self.gathers.reactions.iter();
        let due: Vec<u64> = ticks
            .filter(|(_, tick)| tick.is_due(gather_ms, now.ms))
            .map(|(target, _)| *target)
            .collect();
        for target in due {
            let Some(tick) = self.gathers.reactions.get_mut(&target) else {
                continue;
            };
            let waiting = tick.waiting.take();
            let closed = close_reactions(&self.state, target, waiting, &self.limits);
            if let Some(tick) = self.gathers.reactions.get_mut(&target) {
                let closed = note(tick, closed, now);
                self.closed(closed, now, out);
            }
        }
    }

    fn close_moves(&mut self, now: Now, out: &mut Vec<Output>) {
        let gather_ms = self.limits.membership_gather_ms;
        if !self.gathers.moves.is_due(gather_ms, now.ms) {
            return;
        }
        let waiting = self.gathers.moves.waiting.take();
        let closed = close_moves(&self.state, waiting, &self.limits);
        let closed = note(&mut self.gathers.moves, closed, now);
        self.closed(closed, now, out);
        // What their sessions sent after it waited for it.
        self.retry_parked(now, out);
    }

    fn closed(&mut self, closed: Closed, now: Now, out: &mut Vec<Output>) {
        let failed = closed
            .entry
            .is_some_and(|(author, body)| self.push(author, body, None, now).is_err());
        let seq = self.state.head;
        for (asked, changed) in closed.answers {
            match (changed, self.state.done_already(&asked)) {
                (Err(refusal), _) => self.refuse_later(&asked, refusal, out),
                (Ok(changed), Ok(done)) if !failed => {
                    self.answer_later(&asked, Ok(done), !changed, (seq, seq), out);
                }
                (Ok(_), _) => self.refuse_later(&asked, Refusal::internal(), out),
            }
        }
        // Before what their sessions sent later, which waits in the queue.
        let again = closed.again.into_iter();
        let lacking: Vec<_> = again
            .filter_map(|asked| self.consider(asked, now, out))
            .collect();
        for (asked, needs) in lacking.into_iter().rev() {
            self.wanted.add(&needs);
            self.parked.push_front(asked, needs);
        }
    }
}

/// Keeps what is left for the tick's next closing.
fn note(tick: &mut Tick, mut closed: Closed, now: Now) -> Closed {
    if !closed.answers.is_empty() {
        tick.closed_ms = Some(now.ms);
    }
    for asked in std::mem::take(&mut closed.left_over) {
        tick.waiting.push(asked, Needs::default());
    }
    closed
}
