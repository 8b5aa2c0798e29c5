//! Single values, changed by compare-and-set, and the epochs of all slots.

use std::collections::HashMap;

use bytes::Bytes;
use fanfare_engine::lease::SlotRow;
use fanfare_engine::port::{Leases, PortFuture, Single, Singles, StoreError, Swap};
use fanfare_protocol::limits::{COPY_SLOTS_AT_ONCE, CQL_CAS_ROUNDS, SLOTS};
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};

use super::accounts::perhaps;
use super::census::VALUE;
use super::error::damaged;
use super::run::Cas;
use super::store::Rows;
use super::value::Value;

impl Singles for Rows {
    fn single(&self, single: Single) -> PortFuture<'_, Option<Bytes>> {
        Box::pin(async move { self.single_of(&name_of(&single)).await })
    }

    fn put_single(
        &self,
        single: Single,
        value: Bytes,
        expected: Option<Bytes>,
    ) -> PortFuture<'_, bool> {
        Box::pin(async move {
            let name = name_of(&single);
            let mut uncertain = false;
            for _ in 0..CQL_CAS_ROUNDS {
                let cas = match expected.clone() {
                    None => self.new_single(&name, value.clone()).await,
                    Some(expected) => self.set_single(&name, value.clone(), expected).await,
                };
                match cas.map_err(|error| perhaps(error, uncertain))? {
                    Cas::Applied => return Ok(true),
                    Cas::Refused => {}
                    Cas::Unknown => uncertain = true,
                }
                let stored = self.single_of(&name).await;
                let stored = stored.map_err(|error| perhaps(error, uncertain))?;
                if stored.as_ref() == Some(&value) {
                    return Ok(true);
                }
                if stored != expected {
                    return Ok(false);
                }
                // The serial read says that it does not stand.
                uncertain = false;
            }
            Err(perhaps(no_quiet_moment(), uncertain))
        })
    }

    fn newest_epoch(&self) -> PortFuture<'_, u64> {
        Box::pin(async move {
            let slots = self.slots().await?;
            Ok(slots.iter().map(|(_, row)| row.epoch).max().unwrap_or(0))
        })
    }

    fn raise_epoch(&self, epoch: u64) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let known: HashMap<u16, SlotRow> = self.slots().await?.into_iter().collect();
            let is_low = |slot: &u16| known.get(slot).is_none_or(|row| row.epoch < epoch);
            let raises: Vec<_> = (0..SLOTS)
                .filter(is_low)
                .map(|slot| self.raise_slot(slot, known.get(&slot).cloned(), epoch))
                .collect();
            let raises = stream::iter(raises).buffer_unordered(COPY_SLOTS_AT_ONCE);
            raises.try_for_each(|()| future::ready(Ok(()))).await
        })
    }
}

fn name_of(single: &Single) -> String {
    match single {
        Single::Value(name) => format!("{VALUE}{name}"),
        Single::Copy => "copy".to_owned(),
    }
}

fn no_quiet_moment() -> StoreError {
    StoreError::Unavailable("compare-and-set found no quiet moment".into())
}

impl Rows {
    /// Takes a slot from whoever has it, unless its epoch is as high.
    async fn raise_slot(
        &self,
        slot: u16,
        mut expected: Option<SlotRow>,
        epoch: u64,
    ) -> Result<(), StoreError> {
        for _ in 0..CQL_CAS_ROUNDS {
            let owner = None;
            let next = SlotRow { owner, epoch };
            match self.swap_slot(slot, expected, next).await? {
                Swap::Applied => return Ok(()),
                Swap::Found(Some(row)) if row.epoch >= epoch => return Ok(()),
                Swap::Found(found) => expected = found,
            }
        }
        Err(no_quiet_moment())
    }

    async fn set_single(
        &self,
        name: &str,
        value: Bytes,
        expected: Bytes,
    ) -> Result<Cas, StoreError> {
        let name = Value::Text(name.to_owned());
        let values = vec![Value::Bytes(value), name, Value::Bytes(expected)];
        self.compare_and_set(&self.statements.set_single, values)
            .await
    }

    /// The value of this name; `fresh` if there is none yet.
    pub(crate) async fn single_or_put(
        &self,
        name: String,
        fresh: Bytes,
    ) -> Result<Bytes, StoreError> {
        let mut uncertain = false;
        for _ in 0..CQL_CAS_ROUNDS {
            let stored = self.single_of(&name).await;
            if let Some(stored) = stored.map_err(|error| perhaps(error, uncertain))? {
                return Ok(stored);
            }
            match self.new_single(&name, fresh.clone()).await {
                Ok(cas) => uncertain = cas == Cas::Unknown,
                Err(error) => return Err(perhaps(error, uncertain)),
            }
        }
        Err(perhaps(no_quiet_moment(), uncertain))
    }

    async fn single_of(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
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
