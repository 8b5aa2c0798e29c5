//! Single values, changed by compare-and-set.

use bytes::Bytes;
use fanfare_engine::port::StoreError;
use fanfare_protocol::limits::CQL_CAS_ROUNDS;

use super::accounts::perhaps;
use super::error::damaged;
use super::run::Cas;
use super::store::Rows;
use super::value::Value;

impl Rows {
    /// The value of this name; `fresh` if there is none yet.
    pub(crate) async fn single_or_put(
        &self,
        name: String,
        fresh: Bytes,
    ) -> Result<Bytes, StoreError> {
        let mut uncertain = false;
        for _ in 0..CQL_CAS_ROUNDS {
            let stored = self.single(&name).await;
            if let Some(stored) = stored.map_err(|error| perhaps(error, uncertain))? {
                return Ok(stored);
            }
            match self.new_single(&name, fresh.clone()).await {
                Ok(cas) => uncertain = cas == Cas::Unknown,
                Err(error) => return Err(perhaps(error, uncertain)),
            }
        }
        let why = StoreError::Unavailable("compare-and-set found no quiet moment".into());
        Err(perhaps(why, uncertain))
    }

    async fn single(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        let asked = vec![Value::Text(name.to_owned())];
        let answer = self.read(&self.statements.single, asked).await?;
        let row = answer.maybe_first_row::<(Bytes,)>().map_err(damaged)?;
        Ok(row.map(|(value,)| value))
    }

    async fn new_single(&self, name: &str, value: Bytes) -> Result<Cas, StoreError> {
        let values = vec![Value::Text(name.to_owned()), Value::Bytes(value)];
        self.compare_and_set(&self.statements.new_single, values)
            .await
    }
}
