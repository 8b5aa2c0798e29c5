//! Reading a backup: every block is checked before anything is made of it.

use std::io::{ErrorKind, Read, Write};

use fanfare_engine::codec::decode;
use fanfare_protocol::limits::BACKUP_BLOCK_BYTES_MAX;

use super::format::{
    BACKUP_FORMAT, BackupError, Chain, Counter, FORMAT_LINE, Header, Kind, Passed, Totals,
};

/// Reads a backup to its end and checks all of it. `progress` sees what has
/// passed so far, block by block. Blocks.
///
/// # Errors
/// [`BackupError::Foreign`], [`BackupError::Newer`], [`BackupError::Damaged`]
/// (also for one that was cut short), or what `input` said.
pub fn verify(
    input: impl Read,
    progress: &mut dyn FnMut(Passed),
) -> Result<(Header, Totals), BackupError> {
    let mut reader = Reader::open(input)?;
    while reader.next_cells()?.is_some() {
        progress(reader.passed());
    }
    Ok((reader.header, reader.counter.totals()))
}

/// Passes on what is read from `from`, and writes it to `to` as well.
pub struct Tee<R, W> {
    /// Where it comes from.
    pub from: R,
    /// Where it goes too.
    pub to: W,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.from.read(buffer)?;
        self.to.write_all(buffer.get(..bytes).unwrap_or_default())?;
        Ok(bytes)
    }
}

/// Reads block by block.
pub(super) struct Reader<R> {
    input: R,
    chain: Chain,
    counter: Counter,
    block: u64,
    last_key: Vec<u8>,
    pub(super) header: Header,
}

/// The cells of one block.
pub(super) type CellsRead = Vec<(Vec<u8>, Vec<u8>)>;

impl<R: Read> Reader<R> {
    pub(super) fn open(mut input: R) -> Result<Self, BackupError> {
        let line = first_line(&mut input)?;
        let format = line.strip_prefix(FORMAT_LINE).map(str::trim_end);
        let format: u32 = format
            .and_then(|format| format.parse().ok())
            .ok_or(BackupError::Foreign)?;
        known("file", format, BACKUP_FORMAT)?;
        let mut reader = Self {
            input,
            chain: Chain::new(&line),
            counter: Counter::default(),
            block: 0,
            last_key: Vec::new(),
            header: Header {
                data_format: 0,
                epoch: 0,
                created_at: fanfare_protocol::Timestamp(0),
                version: String::new(),
                cells_about: 0,
            },
        };
        let (Kind::Header, payload) = reader.next_block()? else {
            return Err(reader.damaged("its header is missing"));
        };
        reader.header = decode(&payload)?;
        known("data", reader.header.data_format, crate::FORMAT)?;
        Ok(reader)
    }

    /// What has passed so far.
    pub(super) fn passed(&self) -> Passed {
        Passed {
            totals: self.counter.totals(),
            cells_all: self.header.cells_about,
        }
    }

    /// The cells of the next block; none once the end was checked.
    pub(super) fn next_cells(&mut self) -> Result<Option<CellsRead>, BackupError> {
        let (kind, payload) = self.next_block()?;
        match kind {
            Kind::Header => Err(self.damaged("a second header")),
            Kind::Cells => {
                let cells = cells_of(&payload);
                let cells = cells.ok_or_else(|| self.damaged("cells are cut short"))?;
                for (key, value) in &cells {
                    if *key <= self.last_key {
                        return Err(self.damaged("cells are out of order"));
                    }
                    self.last_key.clone_from(key);
                    self.counter.add(key, value)?;
                }
                Ok(Some(cells))
            }
            Kind::End => {
                let totals: Totals = decode(&payload)?;
                if totals != self.counter.totals() {
                    return Err(self.damaged("it holds something else than its end says"));
                }
                if self.input.read(&mut [0]).map_err(reading)? != 0 {
                    return Err(self.damaged("something follows its end"));
                }
                Ok(None)
            }
        }
    }

    fn next_block(&mut self) -> Result<(Kind, Vec<u8>), BackupError> {
        let mut head = [0; 37];
        self.fill(&mut head)?;
        let (kind, length, sum) = (head[0], &head[1..5], &head[5..]);
        let length = length
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        let kind = Kind::of(kind).filter(|_| length <= BACKUP_BLOCK_BYTES_MAX);
        let kind = kind.ok_or_else(|| self.damaged("no such block"))?;
        let mut payload = vec![0; length];
        self.fill(&mut payload)?;
        if self.chain.add(kind as u8, &payload) != sum {
            return Err(self.damaged("its checksum is wrong"));
        }
        self.block += 1;
        Ok((kind, payload))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.input.read_exact(bytes).map_err(|error| {
            if error.kind() == ErrorKind::UnexpectedEof {
                self.damaged("it was cut short")
            } else {
                reading(error)
            }
        })
    }

    fn damaged(&self, why: &'static str) -> BackupError {
        let block = self.block;
        BackupError::Damaged { block, why }
    }
}

/// The line that names the format, with its end.
fn first_line(input: &mut impl Read) -> Result<String, BackupError> {
    let mut line = Vec::with_capacity(FORMAT_LINE.len() + 8);
    let mut byte = [0];
    while line.len() < FORMAT_LINE.len() + 8 {
        if input.read(&mut byte).map_err(reading)? == 0 {
            break;
        }
        line.push(byte[0]);
        if byte[0] == b'\n' {
            return String::from_utf8(line).map_err(|_| BackupError::Foreign);
        }
    }
    Err(BackupError::Foreign)
}

fn known(what: &'static str, found: u32, newest: u32) -> Result<(), BackupError> {
    match found {
        0 => Err(BackupError::Foreign),
        found if found > newest => Err(BackupError::Newer {
            what,
            found,
            newest,
        }),
        _ => Ok(()),
    }
}

fn cells_of(payload: &[u8]) -> Option<CellsRead> {
    let mut rest = payload;
    let mut cells = Vec::new();
    while !rest.is_empty() {
        let (key_bytes, behind) = rest.split_first_chunk::<4>()?;
        let (value_bytes, behind) = behind.split_first_chunk::<4>()?;
        let (key, behind) = behind.split_at_checked(u32::from_be_bytes(*key_bytes) as usize)?;
        let (value, behind) = behind.split_at_checked(u32::from_be_bytes(*value_bytes) as usize)?;
        cells.push((key.to_vec(), value.to_vec()));
        rest = behind;
    }
    Some(cells)
}

pub(super) fn reading(source: std::io::Error) -> BackupError {
    BackupError::Io {
        doing: "reading the backup",
        source,
    }
}
