//! Leases and slots: compare-and-set rows, each a partition of its own.

use fanfare_engine::lease::{LeaseRow, NodeName, Owner, SlotRow};
use fanfare_engine::port::{Leases, PortFuture, StoreError, Swap};
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

use super::error::damaged;
use super::log::{id_of, number, slot_value};
use super::run::{Cas, rows_of};
use super::store::Rows;
use super::value::Value;

/// A slot's columns: owner, incarnation, epoch. Nobody is an empty name.
type StoredSlot = (String, Vec<u8>, i64);

impl Leases for Rows {
    fn lease(&self, node: NodeName) -> PortFuture<'_, Option<LeaseRow>> {
        Box::pin(async move { self.stored_lease(&node).await })
    }

    fn swap_lease(
        &self,
        node: NodeName,
        expected: Option<LeaseRow>,
        next: LeaseRow,
    ) -> PortFuture<'_, Swap<LeaseRow>> {
        Box::pin(async move {
            let name = Value::Text(node.as_str().to_owned());
            let next = lease_values(&next);
            let (statement, values) = match &expected {
                None => (&self.statements.new_lease, joined([vec![name], next])),
                Some(row) => {
                    let values = joined([next, vec![name], lease_values(row)]);
                    (&self.statements.set_lease, values)
                }
            };
            match self.swapped(statement, values).await? {
                true => Ok(Swap::Applied),
                false => Ok(Swap::Found(self.stored_lease(&node).await?)),
            }
        })
    }

    fn slots(&self) -> PortFuture<'_, Vec<(u16, SlotRow)>> {
        Box::pin(async move {
            let answer = self
                .read_at_once(&self.statements.slots, Vec::new())
                .await?;
            let stored: Vec<(i16, String, Vec<u8>, i64)> = rows_of(&answer)?;
            let mut found = Vec::with_capacity(stored.len());
            for (slot, owner, incarnation, epoch) in stored {
                // One odd row must not keep all the others from being claimed.
                match (
                    u16::try_from(slot),
                    slot_of_row((owner, incarnation, epoch)),
                ) {
                    (Ok(slot), Ok(row)) => found.push((slot, row)),
                    _ => tracing::error!(slot, "the row of a slot is damaged"),
                }
            }
            Ok(found)
        })
    }

    fn slot(&self, slot: u16) -> PortFuture<'_, Option<SlotRow>> {
        Box::pin(self.stored_slot(slot))
    }

    fn swap_slot(
        &self,
        slot: u16,
        expected: Option<SlotRow>,
        next: SlotRow,
    ) -> PortFuture<'_, Swap<SlotRow>> {
        Box::pin(async move {
            let (id, next) = (slot_value(slot), slot_values(&next));
            let (statement, values) = match &expected {
                None => (&self.statements.new_slot, joined([vec![id], next])),
                Some(row) => {
                    let values = joined([next, vec![id], slot_values(row)]);
                    (&self.statements.set_slot, values)
                }
            };
            match self.swapped(statement, values).await? {
                true => Ok(Swap::Applied),
                false => Ok(Swap::Found(self.stored_slot(slot).await?)),
            }
        })
    }
}

impl Rows {
    async fn stored_lease(&self, node: &NodeName) -> Result<Option<LeaseRow>, StoreError> {
        let asked = vec![Value::Text(node.as_str().to_owned())];
        let lease = &self.statements.lease;
        let answer = self.read_at_once(lease, asked).await?;
        let row = answer.maybe_first_row::<(Vec<u8>, i64, bool)>();
        let Some((incarnation, renewal, fenced)) = row.map_err(damaged)? else {
            return Ok(None);
        };
        Ok(Some(LeaseRow {
            incarnation: Uuid::from_bytes(id_of(&incarnation)?),
            renewal: number(renewal)?,
            fenced,
        }))
    }

    async fn stored_slot(&self, slot: u16) -> Result<Option<SlotRow>, StoreError> {
        let asked = vec![slot_value(slot)];
        let answer = self.read_at_once(&self.statements.slot, asked).await?;
        let row = answer.maybe_first_row::<StoredSlot>().map_err(damaged)?;
        row.map(slot_of_row).transpose()
    }

    /// Whether a compare-and-set was applied.
    async fn swapped(
        &self,
        statement: &PreparedStatement,
        values: Vec<Value>,
    ) -> Result<bool, StoreError> {
        match self.compare_and_set_at_once(statement, values).await? {
            Cas::Applied => Ok(true),
            Cas::Refused => Ok(false),
            Cas::Unknown => {
                let why = "compare-and-set without an answer".to_owned();
                Err(StoreError::OutcomeUnknown(why))
            }
        }
    }
}

fn joined<const N: usize>(parts: [Vec<Value>; N]) -> Vec<Value> {
    parts.into_iter().flatten().collect()
}

fn lease_values(row: &LeaseRow) -> Vec<Value> {
    vec![
        Value::Id(*row.incarnation.as_bytes()),
        Value::number(row.renewal),
        Value::Flag(row.fenced),
    ]
}

fn slot_values(row: &SlotRow) -> Vec<Value> {
    let (owner, incarnation) = match &row.owner {
        Some(owner) => (owner.node.as_str(), owner.incarnation),
        None => ("", Uuid::nil()),
    };
    vec![
        Value::Text(owner.to_owned()),
        Value::Id(*incarnation.as_bytes()),
        Value::number(row.epoch),
    ]
}

fn slot_of_row((owner, incarnation, epoch): StoredSlot) -> Result<SlotRow, StoreError> {
    let incarnation = Uuid::from_bytes(id_of(&incarnation)?);
    let owner = match owner.as_str() {
        "" => None,
        name => {
            let long = || StoreError::Damaged("a slot's owner has no node's name".into());
            let node = NodeName::new(name).ok_or_else(long)?;
            Some(Owner { node, incarnation })
        }
    };
    let epoch = number(epoch)?;
    Ok(SlotRow { owner, epoch })
}
