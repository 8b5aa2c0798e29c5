//! Migrations: numbered files in the binary, applied one at a time by the
//! holder of a lock, each remembered with its checksum.
//!
//! The lock is a lease without clocks: its row has a fencing number and a
//! renewal number. The holder renews before every statement; whoever waits
//! and sees both numbers stand still for the whole lease takes the next
//! fencing number by compare-and-set. An applied file is noted only under the
//! fencing number of who applied it. **Invariant:** statements only add and
//! may be repeated, so a holder that was thought dead harms nothing.

use std::time::{Duration, Instant};

use fanfare_protocol::limits::{CQL_SCHEMA_MS, MIGRATION_LOOK_MS};
use scylla::client::session::Session;
use scylla::frame::types::{Consistency, SerialConsistency};
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::response::query_result::QueryRowsResult;
use scylla::statement::unprepared::Statement;
use scylla::value::{CqlValue, Row};
use sha2::{Digest, Sha256};

use super::options::Keyspaces;
use super::schema;
use super::value::Value;

/// A numbered file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct File {
    /// From 1, without gaps.
    pub(crate) number: i32,
    /// Its name.
    pub(crate) name: &'static str,
    /// Its text.
    pub(crate) text: &'static str,
}

/// All files of this binary.
pub(crate) const FILES: &[File] = &[
    File {
        number: 1,
        name: "0001_tables.cql",
        text: include_str!("migrations/0001_tables.cql"),
    },
    File {
        number: 2,
        name: "0002_leases.cql",
        text: include_str!("migrations/0002_leases.cql"),
    },
    File {
        number: 3,
        name: "0003_inbox.cql",
        text: include_str!("migrations/0003_inbox.cql"),
    },
];

/// Why the schema is not ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// A newer version of Fanfare was here.
    #[error("the schema is of version {found}, this program knows {known}")]
    Newer {
        /// The store's.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// A file is not what was applied.
    #[error("migration {number} was applied as {applied:?} with another content")]
    Changed {
        /// Its number.
        number: i32,
        /// The name under which it was applied.
        applied: String,
    },
    /// Migrations are missing and may not be applied now.
    #[error("the schema is of version {found}, this program needs {known}")]
    Older {
        /// The store's.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// Another program took the lock because this one was slow.
    #[error("the migration lock was lost")]
    LockLost,
    /// The server refused or did not answer.
    #[error("{statement}: {cause}")]
    Refused {
        /// What was sent.
        statement: String,
        /// What came back.
        cause: String,
    },
}

/// What was applied, and the lock.
pub(crate) const MIGRATIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS {names}.migrations \
     (scope text, number int, name text, checksum text, holder blob static, \
     fence bigint static, renewal bigint static, PRIMARY KEY (scope, number))";

/// A file that the store remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) number: i32,
    pub(crate) name: String,
    pub(crate) checksum: String,
}

/// Its statements, without comments.
pub(crate) fn statements_of(text: &str) -> Vec<String> {
    let code: Vec<&str> = text
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default().trim_end())
        .filter(|line| !line.is_empty())
        .collect();
    let code = code.join("\n");
    let statements = code.split(';').map(str::trim);
    let full = statements.filter(|statement| !statement.is_empty());
    full.map(str::to_owned).collect()
}

pub(crate) fn checksum(file: &File) -> String {
    let digest = Sha256::digest(file.text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files that are missing.
fn missing(files: &[File], applied: &[Applied]) -> Result<Vec<File>, MigrationError> {
    let known = files.iter().map(|file| file.number).max().unwrap_or(0);
    let found = applied.iter().map(|a| a.number).max().unwrap_or(0);
    if found > known {
        return Err(MigrationError::Newer { found, known });
    }
    for a in applied {
        let file = files.iter().find(|file| file.number == a.number);
        if file.is_none_or(|file| checksum(file) != a.checksum) {
            return Err(MigrationError::Changed {
                number: a.number,
                applied: a.name.clone(),
            });
        }
    }
    let has = |file: &&File| applied.iter().any(|a| a.number == file.number);
    Ok(files.iter().filter(|file| !has(file)).copied().collect())
}

/// Migrates, or only looks.
pub(crate) struct Migrator<'a> {
    pub(crate) session: &'a Session,
    pub(crate) keyspaces: &'a Keyspaces,
    pub(crate) files: &'a [File],
    /// Who asks: sixteen bytes that nobody else has.
    pub(crate) holder: [u8; 16],
    /// See [`fanfare_protocol::limits::MIGRATION_LEASE_MS`].
    pub(crate) lease: Duration,
}

/// The lock as it stands: fencing number, renewal number, held or not.
type Lock = (i64, i64, bool);

impl Migrator<'_> {
    /// Makes the keyspaces and the table of migrations, which the lock lives
    /// in, then applies what is missing.
    ///
    /// # Errors
    /// See [`MigrationError`].
    pub(crate) async fn migrate(&self, create: &[String]) -> Result<(), MigrationError> {
        for statement in create {
            self.schema(statement).await?;
        }
        self.schema(&self.keyspaces.fill(MIGRATIONS_TABLE)).await?;
        if missing(self.files, &self.applied().await?)?.is_empty() {
            return Ok(());
        }
        let fence = self.take_lock().await?;
        let mut renewal = 0;
        // Read again: whoever had the lock before may have done it all.
        for file in missing(self.files, &self.applied().await?)? {
            for statement in statements_of(file.text) {
                renewal += 1;
                self.renew(fence, renewal).await?;
                self.schema(&self.keyspaces.fill(&statement)).await?;
            }
            self.note(fence, &file).await?;
            tracing::info!(number = file.number, name = file.name, "migration applied");
        }
        let release =
            "UPDATE {names}.migrations SET holder = ? WHERE scope = 'tables' IF fence = ?";
        let nobody = Value::Bytes(bytes::Bytes::new());
        self.cas(release, vec![nobody, Value::Number(fence)])
            .await?;
        Ok(())
    }

    /// Refuses an older, newer or changed schema.
    ///
    /// # Errors
    /// See [`MigrationError`].
    pub(crate) async fn check(&self) -> Result<(), MigrationError> {
        // Where nobody ever migrated there is no table to ask.
        let made = schema::has_migrations(self.session, self.keyspaces).await;
        let applied = match made.map_err(|error| refused("system_schema", error))? {
            true => self.applied().await?,
            false => Vec::new(),
        };
        match missing(self.files, &applied)?.first() {
            None => Ok(()),
            Some(_) => Err(MigrationError::Older {
                found: applied.iter().map(|a| a.number).max().unwrap_or(0),
                known: self.files.iter().map(|file| file.number).max().unwrap_or(0),
            }),
        }
    }

    /// Takes the lock; waits while its holder is alive. Returns its fencing
    /// number.
    pub(crate) async fn take_lock(&self) -> Result<i64, MigrationError> {
        let me = || Value::Id(self.holder);
        let mut seen: Option<(Lock, Instant)> = None;
        loop {
            let lock = self.lock().await?;
            let taken = match lock {
                None => {
                    let first = "UPDATE {names}.migrations SET holder = ?, fence = 1, renewal = 0 \
                         WHERE scope = 'tables' IF fence = null";
                    self.cas(first, vec![me()]).await?.then_some(1)
                }
                Some((fence, renewal, held)) => {
                    let now = Instant::now();
                    let since = match seen {
                        Some((before, since)) if before == (fence, renewal, held) => since,
                        _ => now,
                    };
                    seen = Some(((fence, renewal, held), since));
                    if held && now.duration_since(since) < self.lease {
                        None
                    } else {
                        let next = "UPDATE {names}.migrations SET holder = ?, fence = ?, renewal = 0 \
                             WHERE scope = 'tables' IF fence = ? AND renewal = ?";
                        let values = [fence + 1, fence, renewal].map(Value::Number);
                        let values = [vec![me()], values.into()].concat();
                        self.cas(next, values).await?.then_some(fence + 1)
                    }
                }
            };
            if let Some(fence) = taken {
                return Ok(fence);
            }
            tokio::time::sleep(Duration::from_millis(MIGRATION_LOOK_MS)).await;
        }
    }

    async fn renew(&self, fence: i64, renewal: i64) -> Result<(), MigrationError> {
        let renew = "UPDATE {names}.migrations SET renewal = ? WHERE scope = 'tables' IF fence = ?";
        let values = [renewal, fence].map(Value::Number).to_vec();
        let held = self.cas(renew, values).await?;
        held.then_some(()).ok_or(MigrationError::LockLost)
    }

    async fn note(&self, fence: i64, file: &File) -> Result<(), MigrationError> {
        let note = "UPDATE {names}.migrations SET name = ?, checksum = ? \
             WHERE scope = 'tables' AND number = ? IF fence = ?";
        let values = vec![
            Value::Text(file.name.to_owned()),
            Value::Text(checksum(file)),
            Value::Int(file.number),
            Value::Number(fence),
        ];
        let held = self.cas(note, values).await?;
        held.then_some(()).ok_or(MigrationError::LockLost)
    }

    async fn lock(&self) -> Result<Option<Lock>, MigrationError> {
        let read = "SELECT holder, fence, renewal FROM {names}.migrations \
             WHERE scope = 'tables' LIMIT 1";
        type Found = (Option<bytes::Bytes>, Option<i64>, Option<i64>);
        let rows = self.serial(read).await?;
        let row = rows.maybe_first_row::<Found>();
        let row = row.map_err(|error| refused(read, error))?;
        Ok(row.and_then(|(holder, fence, renewal)| {
            let held = holder.is_some_and(|holder| !holder.is_empty());
            Some((fence?, renewal.unwrap_or(0), held))
        }))
    }

    pub(crate) async fn applied(&self) -> Result<Vec<Applied>, MigrationError> {
        let read = "SELECT number, name, checksum FROM {names}.migrations WHERE scope = 'tables'";
        type Found = (Option<i32>, Option<String>, Option<String>);
        let rows = self.serial(read).await?;
        let rows = rows.rows::<Found>().map_err(|error| refused(read, error))?;
        let mut applied = Vec::new();
        for row in rows {
            let (number, name, checksum) = row.map_err(|error| refused(read, error))?;
            // The lock alone is a row without a number.
            if let (Some(number), Some(checksum)) = (number, checksum) {
                applied.push(Applied {
                    number,
                    name: name.unwrap_or_default(),
                    checksum,
                });
            }
        }
        Ok(applied)
    }

    async fn serial(&self, cql: &str) -> Result<QueryRowsResult, MigrationError> {
        let mut statement = Statement::new(self.keyspaces.fill(cql));
        statement.set_consistency(Consistency::Serial);
        statement.set_is_idempotent(true);
        statement.set_request_timeout(Some(Duration::from_millis(CQL_SCHEMA_MS)));
        let answer = self.session.query_unpaged(statement, ()).await;
        let answer = answer.map_err(|error| refused(cql, error))?;
        answer
            .into_rows_result()
            .map_err(|error| refused(cql, error))
    }

    /// A compare-and-set. One whose outcome is unknown is an error: whoever
    /// starts again finds out.
    async fn cas(&self, cql: &str, values: Vec<Value>) -> Result<bool, MigrationError> {
        let mut statement = Statement::new(self.keyspaces.fill(cql));
        statement.set_consistency(Consistency::Quorum);
        statement.set_serial_consistency(Some(SerialConsistency::Serial));
        statement.set_request_timeout(Some(Duration::from_millis(CQL_SCHEMA_MS)));
        let answer = self.session.query_unpaged(statement, values).await;
        let answer = answer.map_err(|error| refused(cql, error))?;
        let rows = answer.into_rows_result();
        let rows = rows.map_err(|error| refused(cql, error))?;
        let row = rows.first_row::<Row>();
        let row = row.map_err(|error| refused(cql, error))?;
        Ok(matches!(
            row.columns.first(),
            Some(Some(CqlValue::Boolean(true)))
        ))
    }

    /// Changes the schema. All programs choose the same node for it, because
    /// Cassandra's nodes may make one table twice at the same time.
    async fn schema(&self, cql: &str) -> Result<(), MigrationError> {
        let mut statement = Statement::new(cql);
        statement.set_is_idempotent(true);
        statement.set_request_timeout(Some(Duration::from_millis(CQL_SCHEMA_MS)));
        let state = self.session.get_cluster_state();
        let nodes = state.get_nodes_info().iter();
        let first = nodes
            .filter(|node| node.is_connected())
            .map(|node| node.host_id);
        if let Some(host) = first.min() {
            let one = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::HostId(host), None);
            statement.set_load_balancing_policy(Some(one));
        }
        let answer = self.session.query_unpaged(statement, ()).await;
        answer.map(|_| ()).map_err(|error| refused(cql, error))
    }
}

fn refused(statement: &str, cause: impl std::fmt::Display) -> MigrationError {
    let statement = statement.to_owned();
    let cause = cause.to_string();
    MigrationError::Refused { statement, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: i32, text: &'static str) -> File {
        let name = "file.cql";
        File { number, name, text }
    }

    fn applied(file: &File) -> Applied {
        Applied {
            number: file.number,
            name: file.name.into(),
            checksum: checksum(file),
        }
    }

    #[test]
    fn what_is_missing_follows_from_what_was_applied() {
        let files = [file(1, "a;"), file(2, "b;")];
        let numbers = |found: Vec<File>| found.iter().map(|f| f.number).collect::<Vec<_>>();
        assert_eq!(numbers(missing(&files, &[]).unwrap()), [1, 2]);
        assert_eq!(
            numbers(missing(&files, &[applied(&files[0])]).unwrap()),
            [2]
        );
        let both = [applied(&files[0]), applied(&files[1])];
        assert!(missing(&files, &both).unwrap().is_empty());
        let newer = missing(&files[..1], &both);
        assert!(matches!(
            newer,
            Err(MigrationError::Newer { found: 2, known: 1 })
        ));
        let changed = missing(&[file(1, "other;"), files[1]], &both);
        assert!(matches!(
            changed,
            Err(MigrationError::Changed { number: 1, .. })
        ));
    }

    /// Both servers take every statement: what ScyllaDB lacks or names
    /// otherwise does not stand in a file, and all of it is filled in.
    #[test]
    fn files_hold_only_what_both_servers_take() {
        let keyspaces = Keyspaces::named("chat").unwrap();
        for (number, file) in (1..).zip(FILES) {
            assert_eq!(file.number, number, "numbered without gaps");
            let statements = statements_of(file.text);
            assert!(!statements.is_empty());
            for statement in statements {
                let filled = keyspaces.fill(&statement);
                assert!(
                    filled.starts_with("CREATE TABLE IF NOT EXISTS chat"),
                    "{filled}"
                );
                for banned in [
                    "{",
                    "}",
                    ";",
                    "--",
                    "MATERIALIZED",
                    "INDEX",
                    "counter",
                    "compression",
                    "default_time_to_live",
                    "tablets",
                    "WITH ID",
                    "vector",
                    "duration",
                ] {
                    assert!(!filled.contains(banned), "{banned:?} in {filled}");
                }
            }
        }
    }

    #[test]
    fn the_log_s_table_is_rendered_as_it_is_sent() {
        let keyspaces = Keyspaces::named("chat").unwrap();
        let statements = statements_of(FILES[0].text);
        let log = keyspaces.fill(&statements[0]).replace('\n', " ");
        let words: Vec<_> = log.split_whitespace().collect();
        assert_eq!(
            words.join(" "),
            "CREATE TABLE IF NOT EXISTS chat.log ( conversation blob, bucket bigint, seq bigint, \
             epoch bigint, mno bigint, ano bigint, author_key blob, request blob, entry blob, \
             state blob, PRIMARY KEY ((conversation, bucket), seq) )"
        );
    }
}
