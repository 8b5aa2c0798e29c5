//! One cell: a few columns, each under its own logical timestamp, of which
//! the later one wins. The bytes: a column count, then per column id (1),
//! epoch (8), seq (8), length (4), value.

use bytes::Bytes;
use fanfare_engine::port::StoreError;
use fanfare_engine::stamp::Stamp;

/// One column of a cell, to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Which.
    pub(crate) id: u8,
    /// When, logically.
    pub(crate) stamp: Stamp,
    /// What.
    pub(crate) value: Bytes,
}

/// A stored column, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored<'a> {
    /// Which.
    pub(crate) id: u8,
    /// When, logically.
    pub(crate) stamp: Stamp,
    /// What.
    pub(crate) value: &'a [u8],
}

/// Finds a column of a stored cell.
pub(crate) fn column(cell: &[u8], id: u8) -> Result<Option<Stored<'_>>, StoreError> {
    Ok(parse(cell)?.into_iter().find(|column| column.id == id))
}

/// The columns of a stored cell.
pub(crate) fn parse(cell: &[u8]) -> Result<Vec<Stored<'_>>, StoreError> {
    let mut rest = cell;
    let [count] = take(&mut rest)?;
    let mut columns = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let [id] = take(&mut rest)?;
        let epoch = take_number(&mut rest)?;
        let seq = take_number(&mut rest)?;
        let bytes = u32::from_be_bytes(take(&mut rest)?) as usize;
        let (value, behind) = rest.split_at_checked(bytes).ok_or_else(cut_short)?;
        rest = behind;
        columns.push(Stored {
            id,
            stamp: Stamp::new(epoch, seq),
            value,
        });
    }
    if rest.is_empty() {
        Ok(columns)
    } else {
        Err(StoreError::Damaged("cell longer than its columns".into()))
    }
}

/// What a cell becomes when `columns` are written to it: of each column the
/// later one stays; of two with one timestamp, the one that came last.
pub(crate) fn merge(cell: Option<&[u8]>, columns: &[Column]) -> Result<Bytes, StoreError> {
    let mut merged = match cell {
        Some(cell) => parse(cell)?,
        None => Vec::with_capacity(columns.len()),
    };
    for new in columns {
        let new = Stored {
            id: new.id,
            stamp: new.stamp,
            value: &new.value,
        };
        match merged.iter_mut().find(|old| old.id == new.id) {
            Some(old) if new.stamp >= old.stamp => *old = new,
            Some(_) => {}
            None => merged.push(new),
        }
    }
    merged.sort_unstable_by_key(|column| column.id);
    encode(&merged)
}

/// Whether anything of a stored cell was written after `stamp`.
pub(crate) fn is_later(cell: &[u8], stamp: Stamp) -> Result<bool, StoreError> {
    let columns = parse(cell)?;
    Ok(columns.iter().any(|column| column.stamp > stamp))
}

fn encode(columns: &[Stored<'_>]) -> Result<Bytes, StoreError> {
    let too_large = |_| StoreError::Damaged("column larger than 4 GiB".into());
    let bytes = columns.iter().map(|c| 21 + c.value.len()).sum::<usize>();
    let mut cell = Vec::with_capacity(1 + bytes);
    cell.push(u8::try_from(columns.len()).unwrap_or(u8::MAX));
    for column in columns {
        cell.push(column.id);
        cell.extend_from_slice(&column.stamp.epoch.to_be_bytes());
        cell.extend_from_slice(&column.stamp.seq.to_be_bytes());
        let bytes = u32::try_from(column.value.len()).map_err(too_large)?;
        cell.extend_from_slice(&bytes.to_be_bytes());
        cell.extend_from_slice(column.value);
    }
    Ok(cell.into())
}

/// Takes `N` bytes off the front.
pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], StoreError> {
    let (taken, behind) = rest.split_first_chunk::<N>().ok_or_else(cut_short)?;
    *rest = behind;
    Ok(*taken)
}

/// Takes a number off the front.
pub(crate) fn take_number(rest: &mut &[u8]) -> Result<u64, StoreError> {
    take(rest).map(u64::from_be_bytes)
}

fn cut_short() -> StoreError {
    StoreError::Damaged("value shorter than what it says".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(id: u8, epoch: u64, seq: u64, value: &'static str) -> Column {
        let (stamp, value) = (Stamp::new(epoch, seq), value.into());
        Column { id, stamp, value }
    }

    #[test]
    fn each_column_keeps_its_latest_value() {
        let first = merge(None, &[at(0, 2, 5, "a"), at(1, 2, 5, "b")]).unwrap();
        let both = merge(
            Some(&first),
            &[at(0, 1, 99, "late"), at(1, 2, 6, ""), at(2, 0, 1, "c")],
        )
        .unwrap();
        let values = |id| column(&both, id).unwrap().unwrap().value.to_vec();
        assert_eq!(values(0), b"a");
        assert_eq!(values(1), b"");
        assert_eq!(values(2), b"c");
    }

    #[test]
    fn a_repeat_changes_no_byte() {
        let first = merge(None, &[at(3, 2, 5, "a")]).unwrap();
        assert_eq!(merge(Some(&first), &[at(3, 2, 5, "a")]).unwrap(), first);
        let corrected = merge(Some(&first), &[at(3, 2, 5, "b")]).unwrap();
        assert_eq!(column(&corrected, 3).unwrap().unwrap().value, b"b");
    }

    #[test]
    fn every_cut_of_a_cell_is_noticed() {
        let whole = merge(None, &[at(0, 1, 1, "abc"), at(1, 1, 1, "")]).unwrap();
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "cut at {end}");
        }
        assert!(parse(&[&whole[..], &[0]].concat()).is_err());
    }
}
