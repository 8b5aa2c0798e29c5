//! A conversation of one slot, two engines that own it in turn, a reader that
//! never does, and the store. What the engines do with the log is the real
//! [`Activation`] and [`settled`]; that one is fenced only when its lease has
//! lapsed by its own clock is assumed here, not checked.

use bytes::Bytes;
use fanfare_protocol::{ConversationId, Timestamp};
use uuid::Uuid;

pub use super::act::Act;
use super::cells::{Cell, read, stamped, ways};
use crate::reader::settled;
use crate::room::steps::{Activation, Did, Step};
use crate::row::{EpochRow, HeadRow, LogRow};

pub const LOG: ConversationId = ConversationId(Uuid::from_u128(1));
pub const SEQS: usize = 2;
pub const EPOCHS: usize = 3;

/// A row as (epoch column, content) in one byte; 0: no row.
pub type Row = u8;

fn row_of(epoch: u8, content: u8) -> Row {
    epoch * 16 + content
}

/// Odd contents have an effect: they set the one register of effects.
fn has_effect(row: Row) -> bool {
    row % 2 == 1
}

/// How much happens, and what was built wrong on purpose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope {
    /// Claims at most.
    pub epochs: usize,
    /// Contents sent at most.
    pub contents: usize,
    /// Rooms fall asleep and leave a clean head.
    pub sleeps: bool,
    pub acknowledge_without_lease: bool,
    pub seq_reused: bool,
    pub no_epoch_row: bool,
    pub reader_skips_epochs: bool,
    pub older_epochs_left_open: bool,
    pub begins_again: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct World {
    pub rows: [Cell; SEQS],
    pub epochs: [Cell; EPOCHS],
    pub head: [Cell; 1],
    pub effect: Cell,
    /// The slot row: owner and epoch, changed by compare-and-set.
    pub owner: usize,
    pub epoch: u8,
    pub engines: [Engine; 2],
    pub reader: Option<[Row; SEQS]>,
    pub contents: u8,
    /// What anybody outside was told of each seq, and whether that was its
    /// acknowledgement.
    pub told: [Row; SEQS],
    pub acked: [bool; SEQS],
    /// Somebody was told two things about one seq.
    pub contradicted: bool,
    pub reader_told: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Engine {
    /// 0: none; also of a process that is down.
    pub epoch: u8,
    pub lapsed: bool,
    pub down: bool,
    pub room: Room,
    /// The appender's write, which outlives the room.
    pub flight: Option<Flight>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Room {
    #[default]
    None,
    Activating(Activation),
    /// Serves this durable log.
    Serving([Row; SEQS]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flight {
    /// Rows from this index on.
    Append(usize, [Row; SEQS]),
    Effects(usize, [Row; SEQS]),
    /// A clean head: the room falls asleep.
    Head(u8),
}

fn log_row(index: usize, row: Row) -> LogRow {
    LogRow {
        conversation: LOG,
        seq: index as u64 + 1,
        epoch: u64::from(row / 16),
        mno: u64::from(row % 16),
        ano: 0,
        key: None,
        request: None,
        entry: Bytes::new(),
        state: Bytes::new(),
    }
}

/// Rows as a query returns them: ascending, those that are there.
fn log_rows(rows: [Row; SEQS]) -> Vec<LogRow> {
    let there = rows.into_iter().enumerate().filter(|(_, row)| *row != 0);
    there.map(|(index, row)| log_row(index, row)).collect()
}

/// A row of the engine as a row of the model, with its index.
fn model_row(row: &LogRow) -> (usize, Row) {
    (row.seq as usize - 1, row_of(row.epoch as u8, row.mno as u8))
}

fn prefix(rows: &[LogRow]) -> [Row; SEQS] {
    let mut log = [0; SEQS];
    for row in rows {
        let (index, row) = model_row(row);
        log[index] = row;
    }
    log
}

/// Null and "never written" differ: first seqs are stored plus one.
fn epoch_rows(found: [u8; EPOCHS]) -> Vec<EpochRow> {
    let there = found
        .into_iter()
        .enumerate()
        .filter(|(_, first)| *first != 0);
    there
        .map(|(index, first)| EpochRow {
            conversation: LOG,
            epoch: index as u64 + 1,
            first_seq: match first {
                u8::MAX => Some(EpochRow::NEVER),
                first => (first > 1).then(|| u64::from(first) - 1),
            },
        })
        .collect()
}

pub fn length(log: &[Row; SEQS]) -> usize {
    log.iter().take_while(|row| **row != 0).count()
}

/// What the register of effects holds after this log.
pub fn replay(log: &[Row; SEQS]) -> u8 {
    let rows = log.iter().rev().find(|row| has_effect(**row));
    rows.map_or(0, |row| row % 16)
}

impl Engine {
    pub fn holds(&self) -> bool {
        self.epoch != 0 && !self.lapsed
    }
}

impl World {
    pub fn acts(&self, scope: Scope, acts: &mut Vec<Act>) {
        for (i, engine) in self.engines.iter().enumerate() {
            let other = &self.engines[self.owner];
            let free = self.epoch == 0 || other.down || other.lapsed || other.epoch != self.epoch;
            // Engines are alike: the first claim is the first one's.
            let first = self.epoch == 0 && i > 0;
            if engine.epoch == 0 && free && !first && usize::from(self.epoch) < scope.epochs {
                acts.push(Act::Claim(i));
            }
            if engine.epoch == 0 {
                continue;
            }
            acts.push(Act::Ends(i));
            if engine.epoch != self.epoch {
                // Fenced: it goes on until it hears so.
            } else if engine.lapsed {
                acts.push(Act::Renew(i));
            } else {
                acts.push(Act::Lapse(i));
            }
            self.room_acts(i, scope, acts);
        }
        match self.reader {
            None => acts.extend((0..ways(&self.rows)).map(Act::ReaderRows)),
            Some(_) => acts.extend((0..ways(&self.epochs)).map(Act::ReaderEpochs)),
        }
    }

    fn room_acts(&self, i: usize, scope: Scope, acts: &mut Vec<Act>) {
        let engine = &self.engines[i];
        if engine.flight.is_some() {
            acts.push(Act::Written(i));
        }
        if scope.seq_reused && matches!(engine.flight, Some(Flight::Append(..))) {
            acts.push(Act::Forget(i));
        }
        match &engine.room {
            Room::None if engine.flight.is_none() => acts.push(Act::RoomStarts(i)),
            Room::None => {}
            Room::Activating(activation) => {
                // What was judged is written by what outlives the room.
                if scope.begins_again || !activation.is_writing() {
                    acts.push(Act::RoomCrashes(i));
                }
                match activation.step() {
                    Step::ReadEpochs => {
                        acts.extend((0..ways(&self.epochs)).map(|way| Act::Read(i, way)));
                    }
                    Step::ReadLog => {
                        let all = ways(&self.head) * ways(&self.rows);
                        acts.extend((0..all).map(|way| Act::Read(i, way)));
                    }
                    _ => acts.push(Act::Written(i)),
                }
            }
            Room::Serving(log) => {
                acts.push(Act::RoomCrashes(i));
                if engine.flight.is_none() {
                    let length = length(log);
                    let most = (SEQS - length).min(scope.contents - usize::from(self.contents));
                    acts.extend((1..=most).map(|count| Act::Append(i, count)));
                    if length > 0 && scope.sleeps {
                        acts.push(Act::RoomSleeps(i));
                    }
                }
            }
        }
    }

    pub fn act(&mut self, act: Act, scope: Scope) {
        match act {
            Act::Claim(i) => {
                self.owner = i;
                self.epoch += 1;
                self.engines[i] = Engine {
                    epoch: self.epoch,
                    ..Engine::default()
                };
            }
            Act::Lapse(i) => self.engines[i].lapsed = true,
            Act::Renew(i) => self.engines[i].lapsed = false,
            Act::Ends(i) => {
                let down = self.engines[i].epoch == self.epoch;
                self.engines[i] = Engine {
                    down,
                    ..Engine::default()
                };
            }
            Act::RoomStarts(i) => {
                let activation = Activation::new(LOG, u64::from(self.engines[i].epoch));
                self.engines[i].room = Room::Activating(activation);
            }
            Act::RoomCrashes(i) => self.engines[i].room = Room::None,
            Act::RoomSleeps(i) => {
                let Room::Serving(log) = self.engines[i].room else {
                    return;
                };
                self.engines[i].room = Room::None;
                let length = length(&log);
                let head = (log[length - 1] / 16) * 16 + length as u8;
                self.engines[i].flight = Some(Flight::Head(head));
                let stamp = self.engines[i].epoch * 16 + length as u8;
                self.head[0].send(stamped(stamp, head));
            }
            Act::Read(i, way) => self.activation_reads(i, way, scope),
            Act::Written(i) if self.engines[i].flight.is_some() => self.flight_lands(i, scope),
            Act::Written(i) => self.activation_writes(i, true, scope),
            Act::Append(i, count) => self.append(i, count),
            Act::Forget(i) => self.engines[i].flight = None,
            Act::ReaderRows(way) => {
                let rows = read(&mut self.rows, way);
                if scope.reader_skips_epochs {
                    let length = length(&rows);
                    self.tell(&rows[..length]);
                } else {
                    // Behind a gap nothing is shown, and what was told before
                    // tells nothing new.
                    let length = length(&rows);
                    let rows =
                        std::array::from_fn(|index| if index < length { rows[index] } else { 0 });
                    let news = rows[..length] != self.told[..length];
                    self.reader = news.then_some(rows);
                }
            }
            Act::ReaderEpochs(way) => {
                let epochs = self.read_epochs(way);
                let rows = log_rows(self.reader.take().unwrap_or_default());
                if let Ok(rows) = settled(0, rows, &epochs) {
                    self.reader_told |= !rows.is_empty();
                    let rows = prefix(&rows);
                    self.tell(&rows[..length(&rows)]);
                }
            }
        }
        for i in 0..self.engines.len() {
            if let (true, Room::Serving(log)) = (self.engines[i].holds(), &self.engines[i].room) {
                let log = *log;
                self.tell(&log[..length(&log)]);
            }
        }
    }

    fn tell(&mut self, log: &[Row]) {
        for (told, row) in self.told.iter_mut().zip(log) {
            self.contradicted |= *told != 0 && told != row;
            *told = *row;
        }
    }

    /// Whether a reader sees all that was told, or that it has to wait.
    pub fn shows_what_was_told(&self) -> bool {
        let length = length(&self.told);
        (0..ways(&self.epochs)).filter(|_| length > 0).all(|way| {
            let epochs = epoch_rows(read(&mut self.epochs.clone(), way));
            let shown = settled(0, log_rows(self.told), &epochs);
            shown.is_err() || shown.is_ok_and(|rows| rows.len() == length)
        })
    }

    fn read_epochs(&mut self, way: usize) -> Vec<EpochRow> {
        epoch_rows(read(&mut self.epochs, way))
    }

    fn activation_reads(&mut self, i: usize, way: usize, scope: Scope) {
        let mut room = std::mem::take(&mut self.engines[i].room);
        if let Room::Activating(activation) = &mut room {
            let did = if activation.step() == Step::ReadLog {
                let ways = ways(&self.head);
                let [head] = read(&mut self.head, way % ways);
                let tail = log_rows(read(&mut self.rows, way / ways));
                let head = (head != 0).then(|| HeadRow {
                    conversation: LOG,
                    epoch: u64::from(head / 16),
                    seq: u64::from(head % 16),
                    mno: 0,
                    ano: 0,
                    at: Timestamp(0),
                    clean: u64::from(head % 16),
                });
                Did::Log { head, tail }
            } else {
                Did::Epochs(self.read_epochs(way))
            };
            if activation.did(did).is_err() {
                room = Room::None;
            }
        }
        self.engines[i].room = room;
        self.activation_writes(i, false, scope);
    }

    /// Sends what the activation writes next, or lets it land and goes on.
    fn activation_writes(&mut self, i: usize, land: bool, scope: Scope) {
        let epoch = self.engines[i].epoch;
        let mut room = std::mem::take(&mut self.engines[i].room);
        let mut land = land;
        while let Room::Activating(activation) = &mut room {
            let mut skip = false;
            match activation.step() {
                Step::ReadEpochs | Step::ReadLog => break,
                Step::Serve => {
                    let log = activation.adopted().map(|it| prefix(&it.rows));
                    room = Room::Serving(log.unwrap_or_default());
                    break;
                }
                Step::PutEpoch(row) => {
                    skip = (scope.no_epoch_row && row.first_seq.is_none())
                        || (scope.older_epochs_left_open && row.epoch != u64::from(epoch));
                    let begun = u8::from(row.first_seq.is_some());
                    let first = row
                        .first_seq
                        .map_or(1, |first| u8::try_from(first + 1).unwrap_or(u8::MAX));
                    let it = stamped(epoch * 2 + begun, first);
                    let cell = &mut self.epochs[row.epoch as usize - 1];
                    match (skip, land) {
                        (true, _) => {}
                        (false, true) => cell.land(it),
                        (false, false) => cell.send(it),
                    }
                }
                Step::WriteAgain(rows) => {
                    for row in &rows {
                        let (index, row) = model_row(row);
                        self.put_row(epoch, index, row, land);
                    }
                }
                Step::RepeatEffects(rows) => {
                    for row in &rows {
                        let (index, row) = model_row(row);
                        self.put_effect(epoch, index, row, land);
                    }
                    skip = !rows.iter().any(|row| has_effect(model_row(row).1));
                }
            }
            // Without the lease a write counts as unknown, and is repeated.
            let counts = scope.acknowledge_without_lease || self.engines[i].holds();
            if (!land || !counts) && !skip {
                break;
            }
            land = land && skip;
            if activation.did(Did::Written).is_err() {
                room = Room::None;
            }
        }
        self.engines[i].room = room;
    }

    fn put_row(&mut self, epoch: u8, index: usize, row: Row, land: bool) {
        let it = stamped(epoch, row);
        match land {
            true => self.rows[index].land(it),
            false => self.rows[index].send(it),
        }
    }

    fn put_effect(&mut self, epoch: u8, index: usize, row: Row, land: bool) {
        if has_effect(row) {
            let it = stamped(epoch * 16 + index as u8, row % 16);
            match land {
                true => self.effect.land(it),
                false => self.effect.send(it),
            }
        }
    }

    fn append(&mut self, i: usize, count: usize) {
        let Room::Serving(log) = self.engines[i].room else {
            return;
        };
        let (epoch, from) = (self.engines[i].epoch, length(&log));
        let mut rows = [0; SEQS];
        for (index, place) in rows.iter_mut().enumerate().skip(from).take(count) {
            self.contents += 1;
            *place = row_of(epoch, self.contents);
            self.put_row(epoch, index, *place, false);
        }
        self.engines[i].flight = Some(Flight::Append(from, rows));
    }

    fn flight_lands(&mut self, i: usize, scope: Scope) {
        let epoch = self.engines[i].epoch;
        let Some(flight) = self.engines[i].flight else {
            return;
        };
        match flight {
            Flight::Append(from, rows) => {
                let written = || rows.into_iter().enumerate().filter(|(_, row)| *row != 0);
                for (index, row) in written() {
                    self.put_row(epoch, index, row, true);
                }
                // Without the lease it counts as unknown, and is repeated.
                if !self.engines[i].holds() && !scope.acknowledge_without_lease {
                    return;
                }
                if self.engines[i].room == Room::None {
                    // Nobody waits; an activation finds the rows.
                    self.engines[i].flight = None;
                } else if written().any(|(_, row)| has_effect(row)) {
                    for (index, row) in written() {
                        self.put_effect(epoch, index, row, false);
                    }
                    self.engines[i].flight = Some(Flight::Effects(from, rows));
                } else {
                    self.acknowledge(i, rows);
                }
            }
            Flight::Effects(_, rows) => {
                for (index, row) in rows.into_iter().enumerate() {
                    self.put_effect(epoch, index, row, true);
                }
                self.acknowledge(i, rows);
            }
            Flight::Head(head) => {
                self.head[0].land(stamped(epoch * 16 + head % 16, head));
                self.engines[i].flight = None;
            }
        }
    }

    fn acknowledge(&mut self, i: usize, rows: [Row; SEQS]) {
        self.engines[i].flight = None;
        let Room::Serving(log) = &mut self.engines[i].room else {
            return;
        };
        for (index, row) in rows.into_iter().enumerate().filter(|(_, row)| *row != 0) {
            log[index] = row;
            self.acked[index] = true;
        }
        let log = *log;
        self.tell(&log[..length(&log)]);
    }
}
