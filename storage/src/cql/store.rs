//! Opening a store on a CQL cluster, and what all its ports share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use fanfare_engine::port::{Readiness, StoreError};
use fanfare_engine::secret::DataSecret;
use fanfare_engine::stamp::Stamp;
use fanfare_protocol::limits::{CQL_PROBE_MS, CQL_REQUESTS_MAX};
use parking_lot::Mutex;
use scylla::client::session::Session;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::error::{OpenError, damaged};
use super::flavour::{FIND_VERSION, FIND_VERSIONS_TABLE, Flavour};
use super::home;
use super::migrations::{FILES, Migrator};
use super::options::{CqlOptions, Keyspaces};
use super::run::{Put, SharedReads};
use super::session::{self, Profiles};
use super::silence::Silence;
use super::statements::Statements;
use super::value::Value;
use crate::ports::Ports;

/// A store on a CQL cluster.
pub struct Cql {
    rows: Arc<Rows>,
    probe: JoinHandle<()>,
}

/// What the ports share.
pub(crate) struct Rows {
    pub(crate) session: Session,
    pub(crate) statements: Statements,
    pub(crate) profiles: Profiles,
    /// Who is asked last.
    pub(crate) silence: Arc<Silence>,
    /// Requests that may still be sent.
    pub(crate) in_flight: Semaphore,
    /// Reads that others may join.
    pub(crate) reads: SharedReads,
    /// Number of the last note that something is live.
    pub(crate) notes: AtomicU64,
    /// Why writes are refused, if they are.
    unready: Mutex<Option<String>>,
}

impl Cql {
    /// Connects, migrates if told to, prepares every statement and checks
    /// that the server keeps the timestamps it is given. Needs a runtime.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: &CqlOptions) -> Result<Self, OpenError> {
        let keyspaces = Keyspaces::named(&options.keyspace)?;
        let (session, datacenter) = session::connect(options).await?;
        let migrator = Migrator {
            session: &session,
            keyspaces: &keyspaces,
            files: FILES,
            holder: *Uuid::now_v7().as_bytes(),
            lease: Duration::from_millis(options.migration_lease_ms),
        };
        if options.migrate {
            let flavour = detect(&session).await?;
            let create = flavour.create_keyspaces(&keyspaces, &datacenter, options.replicas);
            migrator.migrate(&create).await?;
        } else {
            migrator.check().await?;
        }
        let silence = Arc::new(Silence::new());
        let profiles = Profiles::of(&datacenter, &silence);
        let statements = Statements::prepare(&session, &keyspaces, &profiles).await?;
        let rows = Arc::new(Rows {
            session,
            statements,
            profiles,
            silence,
            in_flight: Semaphore::new(CQL_REQUESTS_MAX),
            reads: SharedReads::new(),
            notes: AtomicU64::new(0),
            unready: Mutex::new(None),
        });
        home::settle(&rows, &keyspaces, &datacenter).await?;
        rows.check_timestamps().await?;
        let probe = tokio::spawn(Rows::watch(Arc::downgrade(&rows)));
        Ok(Self { rows, probe })
    }

    /// Its ports.
    pub fn ports(&self) -> Ports {
        Ports::shared(&self.rows)
    }

    /// See [`crate::Embedded::value_or_put`].
    ///
    /// # Errors
    /// As every write: see [`StoreError`].
    pub async fn value_or_put(&self, name: &str, fresh: Bytes) -> Result<Bytes, StoreError> {
        self.rows
            .single_or_put(format!("value:{name}"), fresh)
            .await
    }

    /// See [`crate::Embedded::data_secret`].
    ///
    /// # Errors
    /// As every write: see [`StoreError`].
    pub async fn data_secret(&self, fresh: [u8; 32]) -> Result<DataSecret, StoreError> {
        let fresh = Bytes::copy_from_slice(&fresh);
        let stored = self.value_or_put("data-secret", fresh).await?;
        let bytes = <[u8; 32]>::try_from(&stored[..]).map_err(damaged)?;
        Ok(DataSecret::new(bytes))
    }
}

impl Drop for Cql {
    fn drop(&mut self) {
        self.probe.abort();
    }
}

impl Rows {
    /// Writes a row far in the past, as all logical timestamps are, and reads
    /// its time back.
    async fn check_timestamps(&self) -> Result<(), OpenError> {
        let wrote = Stamp::of_mark(1).micros();
        let name = || Value::Text("timestamps".into());
        self.write(vec![self.probe_of(name(), wrote)]).await?;
        let answer = self.read(&self.statements.probe, vec![name()]).await?;
        let row = answer
            .maybe_first_row::<(Option<i64>,)>()
            .map_err(damaged)?;
        let read = row.and_then(|(time,)| time);
        if read == Some(wrote) {
            Ok(())
        } else {
            Err(OpenError::Timestamps { wrote, read })
        }
    }

    fn probe_of(&self, name: Value, micros: i64) -> Put<'_> {
        Put {
            statement: &self.statements.put_probe,
            partition: Vec::new(),
            values: vec![name, Value::Number(1), Value::Number(micros)],
        }
    }

    /// Writes the probe's row again and again, for [`Readiness`], and hands
    /// the driver's figures on. Ends with the store.
    async fn watch(rows: std::sync::Weak<Self>) {
        loop {
            tokio::time::sleep(Duration::from_millis(CQL_PROBE_MS)).await;
            let Some(rows) = rows.upgrade() else { return };
            let put = rows.probe_of(Value::Text("ready".into()), Stamp::of_mark(1).micros());
            let writing = rows.write_partition(vec![put]);
            let (outcome, ()) = tokio::join!(writing, rows.look_for_silent());
            *rows.unready.lock() = outcome.err().map(|error| error.to_string());
            let driver = rows.session.get_metrics();
            let figures = [
                (
                    "fanfare_cql_requests_total",
                    driver.get_requests_unpaged_num(),
                ),
                ("fanfare_cql_errors_total", driver.get_errors_unpaged_num()),
                ("fanfare_cql_retries_total", driver.get_retries_num()),
                ("fanfare_cql_timeouts_total", driver.get_request_timeouts()),
            ];
            for (name, figure) in figures {
                metrics::counter!(name).absolute(figure);
            }
            metrics::gauge!("fanfare_cql_connections").set(driver.get_total_connections() as f64);
        }
    }
}

impl Readiness for Rows {
    fn ready(&self) -> Result<(), String> {
        self.unready.lock().clone().map_or(Ok(()), Err)
    }
}

pub(crate) async fn detect(session: &Session) -> Result<Flavour, OpenError> {
    let text = async |cql: &str| {
        let answer = session.query_unpaged(cql, ()).await;
        let answer = answer.map_err(|error| super::error::read_error(&error))?;
        let rows = answer.into_rows_result().map_err(damaged)?;
        let row = rows.maybe_first_row::<(String,)>().map_err(damaged)?;
        Ok::<_, StoreError>(row.map(|(text,)| text))
    };
    if text(FIND_VERSIONS_TABLE).await?.is_none() {
        return Ok(Flavour::Cassandra);
    }
    let version = text(FIND_VERSION).await?.unwrap_or_default();
    Ok(Flavour::of_scylla(&version))
}
