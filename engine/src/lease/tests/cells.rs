//! The store of the models: registers where the last write wins, and writes
//! in limbo: sent, not known to be durable. A quorum read may see any of
//! them; those it sees it makes durable before it returns. One that no read
//! sees might as well not exist, so nothing else brings them to light.

/// A value under a timestamp, which stands in the upper half.
pub type Stamped = u16;

pub fn stamped(stamp: u8, value: u8) -> Stamped {
    (u16::from(stamp) << 8) | u16::from(value)
}

pub fn value(it: Stamped) -> u8 {
    (it & 0xff) as u8
}

/// One register; 0 stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Cell {
    durable: Stamped,
    /// Ascending, all above `durable`, 0 where nothing is.
    limbo: [Stamped; 4],
}

impl Cell {
    pub fn send(&mut self, it: Stamped) {
        if it > self.durable && !self.limbo.contains(&it) {
            let free = self.limbo.iter().position(|other| *other == 0);
            self.limbo[free.expect("room for another write in limbo")] = it;
            self.limbo.sort_unstable();
        }
    }

    /// The write returned: a quorum has it. What it beats never shows.
    pub fn land(&mut self, it: Stamped) {
        self.durable = self.durable.max(it);
        for other in &mut self.limbo {
            if *other <= self.durable {
                *other = 0;
            }
        }
        self.limbo.sort_unstable();
    }

    pub fn durable(&self) -> u8 {
        value(self.durable)
    }

    /// Everything that a read may find in time, the durable value first.
    pub fn possible(&self) -> impl Iterator<Item = u8> {
        let limbo = self.limbo.into_iter().filter(|it| *it != 0);
        std::iter::once(self.durable).chain(limbo).map(value)
    }

    fn read(&mut self, which: usize) -> u8 {
        if which > 0 {
            let limbo = self.limbo.into_iter().filter(|it| *it != 0);
            let seen = limbo.clone().nth(which - 1).unwrap_or_default();
            self.land(seen);
        }
        self.durable()
    }
}

/// In how many ways these registers may be read at once.
pub fn ways(cells: &[Cell]) -> usize {
    cells.iter().map(|cell| cell.possible().count()).product()
}

/// Reads registers in one of the ways.
pub fn read<const N: usize>(cells: &mut [Cell; N], mut way: usize) -> [u8; N] {
    let mut found = [0; N];
    for (cell, found) in cells.iter_mut().zip(&mut found) {
        let ways = cell.possible().count();
        *found = cell.read(way % ways);
        way /= ways;
    }
    found
}
