//! Filling a new database with cells that come in order, past journal and
//! committer: for a restore, before anybody opens the store.

use std::path::Path;

use fanfare_protocol::Limits;
use fjall::PersistMode;

use super::embedded::{CellsError, database};
use super::key::Key;

/// Some cells, in order; none at the end.
pub(crate) type Next<'a, E> = &'a mut dyn FnMut() -> Result<Option<Vec<(Key, Vec<u8>)>>, E>;

/// Fills the database in `folder` with what `next` gives until it gives
/// none, in ascending order of keys, and sets one more cell at the end.
/// Blocks; durable when it returns.
pub(crate) fn load<E: From<CellsError>>(
    folder: &Path,
    limits: &Limits,
    next: Next<'_, E>,
    last: &(Key, [u8; 8]),
) -> Result<(), E> {
    let refused = CellsError::Database;
    let (database, keyspace) = database(folder, limits).map_err(refused)?;
    let mut loading = keyspace.start_ingestion().map_err(refused)?;
    while let Some(cells) = next()? {
        for (key, value) in cells {
            loading.write(key, value).map_err(refused)?;
        }
    }
    loading.finish().map_err(refused)?;
    let (key, value) = last;
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(&keyspace, key.clone(), &value[..]);
    batch.commit().map_err(refused)?;
    Ok(())
}
