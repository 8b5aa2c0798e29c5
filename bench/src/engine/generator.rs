//! One thread of the generator. Each turn: start connections, send what is
//! due, wait for sockets until the next message is due, read each once.
//! Between two sockets the clock is looked at again, so a burst of
//! deliveries cannot hold up a message by more than one read.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::epoll;

use super::connection::Connection;
use super::{Clock, Tally};
use crate::dialect::Dialect;
use crate::plan::Plan;
use crate::schedule::Schedule;

/// Read at once, at most: what stays in the cache of a core.
pub(super) const READ_BYTES: usize = 512 << 10;
/// The buffer all sockets of a thread are read into: the largest frame that
/// is not complete, and one read.
const BUFFER_BYTES: usize = (2 << 20) + 16 + READ_BYTES;
/// Sockets told of by one wait.
const EVENTS_MAX: usize = 1024;
/// Connections started between two looks at sockets.
pub(super) const STARTS_PER_TURN: usize = 64;
/// Above this much unsent in one socket the server has lost the pace: at 200
/// bytes a message, some thousand of them.
pub(super) const UNSENT_BYTES_MAX: usize = 1 << 20;

/// A generator: connections whose number is `nth` modulo `of`.
pub struct Generator<D: Dialect> {
    pub(super) dialect: Arc<D>,
    pub(super) plan: Arc<Plan>,
    pub(super) clock: Clock,
    pub(super) epoll: OwnedFd,
    pub(super) nth: usize,
    pub(super) of: usize,
    pub(super) connections: Vec<Option<Connection<D::Link>>>,
    pub(super) to_start: VecDeque<u32>,
    pub(super) started: usize,
    pub(super) dirty: Vec<u32>,
    pub(super) buffer: Vec<u8>,
    /// Messages sent so far, by room; 0 in rooms that others publish in.
    pub sent: Vec<u64>,
    /// Deliveries that must come of what was sent.
    pub expected: u64,
    /// Receivers of each room.
    pub(super) receivers: Arc<Vec<u64>>,
    /// What it counted.
    pub tally: Tally,
    /// Connecting or in the handshake at once, at most.
    pub at_once: usize,
    /// Connections with these numbers are never read once ready.
    pub slow: Arc<std::collections::HashSet<u32>>,
    /// Since when a socket with bytes may have been waiting for this thread.
    pub(super) waiting_since_ns: u64,
    /// When the last wait returned.
    pub(super) woke_ns: u64,
    /// The server took too little: see [`UNSENT_BYTES_MAX`].
    pub overrun: bool,
}

impl<D: Dialect> Generator<D> {
    /// Number `nth` of `of`, without any connection yet.
    pub fn new(
        dialect: Arc<D>,
        plan: Arc<Plan>,
        receivers: Arc<Vec<u64>>,
        clock: Clock,
        (nth, of): (usize, usize),
        late_ns: u64,
    ) -> anyhow::Result<Self> {
        let mine = plan.members.len().div_ceil(of);
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: std::iter::repeat_with(|| None).take(mine).collect(),
            to_start: VecDeque::new(),
            started: 0,
            dirty: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            sent: vec![0; plan.rooms],
            expected: 0,
            receivers,
            tally: Tally::new(late_ns),
            at_once: 256,
            slow: Arc::default(),
            waiting_since_ns: 0,
            woke_ns: 0,
            overrun: false,
            dialect,
            plan,
            clock,
            nth,
            of,
        })
    }

    /// Queues a connection.
    pub fn enqueue(&mut self, number: u32) {
        self.to_start.push_back(number);
    }

    /// Whether this thread has the connection.
    pub fn has(&self, number: u32) -> bool {
        number as usize % self.of == self.nth
    }

    /// Rooms that are published in from here.
    pub fn rooms(&self) -> Vec<u32> {
        let publishers = (0..).zip(&self.plan.publishers);
        publishers
            .filter(|(_, who)| self.has(**who))
            .map(|(room, _)| room)
            .collect()
    }

    /// Whether no connection is under way.
    pub fn settled(&self) -> bool {
        self.to_start.is_empty() && self.under_way() == 0
    }

    /// Turns until `until_ns`, sending what `schedule` wants; ends before if
    /// `done` says so.
    pub fn run(
        &mut self,
        until_ns: u64,
        mut schedule: Option<Schedule>,
        done: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        self.woke_ns = self.clock.now_ns();
        loop {
            self.start_some();
            let mut now = self.clock.now_ns();
            let mut next = until_ns;
            if let Some(schedule) = &mut schedule {
                self.send_due(schedule, now);
                next = next.min(schedule.due_ns());
                now = self.clock.now_ns();
            }
            if now >= until_ns || self.overrun || done(self) {
                return Ok(());
            }
            let may_start = !self.to_start.is_empty() && self.under_way() < self.at_once;
            let wait = if may_start {
                0
            } else {
                next.saturating_sub(now)
            };
            self.wait(&mut events, wait)?;
            for event in events.drain(..) {
                let number = event.data.u64() as u32;
                let now = self.clock.now_ns();
                self.on_event(number, event.flags, now);
                if let Some(schedule) = &mut schedule
                    && schedule.due_ns() <= now
                {
                    self.send_due(schedule, now);
                }
            }
            self.flush_dirty();
        }
    }

    /// What each receiver of this thread never got, given how many messages
    /// were sent in each room.
    pub fn settle(&mut self, sent: &[u64]) {
        for (at, connection) in self.connections.iter().enumerate() {
            let Some(connection) = connection else {
                continue;
            };
            if connection.slow || !connection.ready || connection.stream.is_none() {
                continue;
            }
            let number = (at * self.of + self.nth) as u32;
            for seat in &connection.seats {
                let sent = sent.get(seat.room as usize).copied().unwrap_or(0);
                self.tally.findings.settle(seat, number, sent);
            }
        }
    }

    /// Deliveries that refused messages will not bring.
    pub fn refused_deliveries(&self) -> u64 {
        (self.tally.findings.all_refused())
            .filter_map(|(room, _)| self.receivers.get(room as usize))
            .sum()
    }

    pub(super) fn under_way(&self) -> usize {
        self.started
            .saturating_sub(self.tally.ready + self.tally.dead)
    }
}
