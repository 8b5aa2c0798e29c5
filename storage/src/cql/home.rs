//! The home datacentre of a keyspace: named by the first engine that opens
//! it, and the same for all. Quorums of two datacentres need not meet, so an
//! engine that counts elsewhere would miss what others acknowledged.

use bytes::Bytes;
use scylla::client::session::Session;

use super::error::{OpenError, damaged, read_error};
use super::options::Keyspaces;
use super::store::Rows;

/// Its name among the single values. No copy takes it along.
const HOME: &str = "home-datacenter";

/// Makes `datacenter` the keyspace's home if it has none yet.
///
/// # Errors
/// [`OpenError::Home`] where it has another one.
pub(crate) async fn settle(
    rows: &Rows,
    keyspaces: &Keyspaces,
    datacenter: &str,
) -> Result<(), OpenError> {
    let fresh = Bytes::copy_from_slice(datacenter.as_bytes());
    let stored = rows.single_or_put(HOME.to_owned(), fresh).await?;
    if stored == datacenter.as_bytes() {
        return Ok(());
    }
    Err(OpenError::Home {
        stored: String::from_utf8_lossy(&stored).into_owned(),
        named: datacenter.to_owned(),
        names: keyspaces.names.clone(),
    })
}

/// The keyspace's home, if an engine has named one. The table is there.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn stored(
    session: &Session,
    keyspaces: &Keyspaces,
) -> Result<Option<String>, OpenError> {
    let read = "SELECT value FROM {names}.single_values WHERE name = ?";
    let answer = session.query_unpaged(keyspaces.fill(read), (HOME,)).await;
    let answer = answer.map_err(|error| read_error(&error))?;
    let rows = answer.into_rows_result().map_err(damaged)?;
    let row = rows.maybe_first_row::<(Vec<u8>,)>().map_err(damaged)?;
    Ok(row.map(|(name,)| String::from_utf8_lossy(&name).into_owned()))
}
