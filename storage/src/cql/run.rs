//! Sending: reads, batches of one partition, compare-and-set. Nothing else
//! in the store talks to the driver once it is open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use fanfare_engine::port::StoreError;
use fanfare_protocol::limits::{
    CQL_BATCH_BYTES_MAX, CQL_BATCH_STATEMENTS_MAX, CQL_PARTITIONS_AT_ONCE, CQL_REQUESTS_MAX,
};
use futures_util::{StreamExt, stream};
use scylla::deserialize::row::DeserializeRow;
use scylla::frame::types::Consistency;
use scylla::response::query_result::QueryRowsResult;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row};
use tokio::sync::SemaphorePermit;

use super::again::until_answered;
use super::error::{Fault, damaged, read_error, together, write_error};
use super::shared::Shared;
use super::store::Rows;
use super::value::Value;

/// Reads under way, by statement and values.
pub(crate) type SharedReads = Shared<(Bytes, Vec<Value>), Result<Arc<QueryRowsResult>, StoreError>>;

/// One plain write.
pub(crate) struct Put<'a> {
    /// What.
    pub(crate) statement: &'a PreparedStatement,
    /// Partition within the statement's table, to gather batches by.
    pub(crate) partition: Vec<u8>,
    /// Its values.
    pub(crate) values: Vec<Value>,
}

/// What became of a compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cas {
    /// Applied.
    Applied,
    /// Not applied: the condition did not hold.
    Refused,
    /// Nobody knows: read serially.
    Unknown,
}

impl Put<'_> {
    fn weight_bytes(&self) -> usize {
        self.values.iter().map(Value::weight_bytes).sum()
    }
}

/// The rows of an answer, decoded.
pub(crate) fn rows_of<'a, R: DeserializeRow<'a, 'a>>(
    answer: &'a QueryRowsResult,
) -> Result<Vec<R>, StoreError> {
    let rows = answer.rows::<R>().map_err(damaged)?;
    rows.map(|row| row.map_err(damaged)).collect()
}

impl Rows {
    /// A place among the requests in flight.
    fn admit(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        self.in_flight.try_acquire().map_err(|_| {
            metrics::counter!("fanfare_store_overloaded_total").increment(1);
            StoreError::Overloaded
        })
    }

    /// Reads. Plain reads of the same rows at the same time share a query.
    pub(crate) async fn read(
        &self,
        statement: &PreparedStatement,
        values: Vec<Value>,
    ) -> Result<Arc<QueryRowsResult>, StoreError> {
        // Whoever reads serially wants what stands behind a vote of its own.
        if statement.get_consistency() == Some(Consistency::Serial) {
            let _permit = self.admit()?;
            metrics::counter!("fanfare_store_reads_total").increment(1);
            return self.read_at_once(statement, values).await.map(Arc::new);
        }
        let key = (statement.get_id().clone(), values.clone());
        let sent = AtomicBool::new(false);
        let query = || async {
            sent.store(true, Ordering::Relaxed);
            let _permit = self.admit()?;
            metrics::counter!("fanfare_store_reads_total").increment(1);
            self.read_at_once(statement, values).await.map(Arc::new)
        };
        let answer = self.reads.ask(key, query).await;
        if !sent.load(Ordering::Relaxed) {
            metrics::counter!("fanfare_store_reads_joined_total").increment(1);
        }
        answer
    }

    /// Reads whatever else is in flight: for leases and slots, which a node
    /// that has too much to do must not lose. Their machine bounds them.
    pub(crate) async fn read_at_once(
        &self,
        statement: &PreparedStatement,
        values: Vec<Value>,
    ) -> Result<QueryRowsResult, StoreError> {
        let answer = self.session.execute_unpaged(statement, values).await;
        let answer = answer.map_err(|error| read_error(&error))?;
        answer.into_rows_result().map_err(damaged)
    }

    /// Reads several things at once, a bounded number of them; answers stand
    /// in the order asked.
    pub(crate) async fn read_each<'a, A, T, F>(
        &'a self,
        asked: Vec<A>,
        read: impl Fn(A) -> F,
    ) -> Result<Vec<T>, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'a,
        T: Send,
    {
        let reads: Vec<F> = asked.into_iter().map(read).collect();
        let mut answers = stream::iter(reads).buffered(CQL_PARTITIONS_AT_ONCE);
        let mut found = Vec::new();
        while let Some(answer) = answers.next().await {
            found.push(answer?);
        }
        Ok(found)
    }

    /// Writes, each partition in batches of its own, a bounded number of
    /// partitions at once.
    pub(crate) async fn write(&self, puts: Vec<Put<'_>>) -> Result<(), StoreError> {
        let mut partitions: BTreeMap<(String, Vec<u8>), Vec<Put<'_>>> = BTreeMap::new();
        for put in puts {
            let table = put.statement.get_table_name().unwrap_or_default();
            let partition = (table.to_owned(), put.partition.clone());
            partitions.entry(partition).or_default().push(put);
        }
        let writes: Vec<_> = partitions
            .into_values()
            .map(|puts| self.write_partition(puts))
            .collect();
        let outcomes = stream::iter(writes).buffer_unordered(CQL_PARTITIONS_AT_ONCE);
        together(outcomes.collect::<Vec<_>>().await)
    }

    /// Writes to one partition of one table, in their order. What does not
    /// fit one batch goes in several, one after another.
    pub(crate) async fn write_partition(&self, puts: Vec<Put<'_>>) -> Result<(), StoreError> {
        let (mut batch, mut bytes, mut done) = (Vec::new(), 0, false);
        let mut batches = Vec::new();
        for put in puts {
            let weight = put.weight_bytes();
            let full =
                bytes + weight > CQL_BATCH_BYTES_MAX || batch.len() >= CQL_BATCH_STATEMENTS_MAX;
            if full && !batch.is_empty() {
                batches.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            bytes += weight;
            batch.push(put);
        }
        batches.push(batch);
        for batch in batches.into_iter().filter(|batch| !batch.is_empty()) {
            match self.write_batch(batch).await {
                Ok(()) => done = true,
                Err(error) if done => return together([Ok(()), Err(error)]),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn write_batch(&self, puts: Vec<Put<'_>>) -> Result<(), StoreError> {
        let _permit = self.admit()?;
        metrics::counter!("fanfare_store_writes_total").increment(1);
        let mut batch = Batch::new(BatchType::Unlogged);
        let mut values = Vec::with_capacity(puts.len());
        for put in puts {
            batch.append_statement(put.statement.clone());
            values.push(put.values);
        }
        batch.set_is_idempotent(true);
        batch.set_execution_profile_handle(Some(self.profiles.writes.clone()));
        let send = || self.session.batch(&batch, &values);
        // Where half of what may be in flight is, servers are not silent but
        // busy.
        let may_repeat = || self.in_flight.available_permits() >= CQL_REQUESTS_MAX / 2;
        until_answered(send, may_repeat).await
    }

    /// Sends a compare-and-set once.
    ///
    /// # Errors
    /// Only what is known to have changed nothing.
    pub(crate) async fn compare_and_set(
        &self,
        statement: &PreparedStatement,
        values: Vec<Value>,
    ) -> Result<Cas, StoreError> {
        let _permit = self.admit()?;
        self.compare_and_set_at_once(statement, values).await
    }

    /// The same whatever else is in flight; see [`Self::read_at_once`].
    ///
    /// # Errors
    /// Only what is known to have changed nothing.
    pub(crate) async fn compare_and_set_at_once(
        &self,
        statement: &PreparedStatement,
        values: Vec<Value>,
    ) -> Result<Cas, StoreError> {
        metrics::counter!("fanfare_store_cas_total").increment(1);
        let answer = match self.session.execute_unpaged(statement, values).await {
            Ok(answer) => answer,
            Err(error) if Fault::of_cas(&error).may_have_happened() => return Ok(Cas::Unknown),
            Err(error) => return Err(write_error(&error, false)),
        };
        let answer = answer.into_rows_result().map_err(damaged)?;
        // Cassandra names the other columns only when it was refused, so the
        // row is read without types.
        let row = answer.first_row::<Row>().map_err(damaged)?;
        match row.columns.first() {
            Some(Some(CqlValue::Boolean(true))) => Ok(Cas::Applied),
            Some(Some(CqlValue::Boolean(false))) => Ok(Cas::Refused),
            _ => Err(damaged("a compare-and-set without its answer")),
        }
    }
}
