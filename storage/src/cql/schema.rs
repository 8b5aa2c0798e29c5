//! Looking at the schema of a store and bringing it up to date, without
//! opening the store: what `fanfare migrate` does.

use std::time::Duration;

use scylla::client::session::Session;
use uuid::Uuid;

use super::error::{OpenError, damaged, read_error};
use super::migrations::{Applied, FILES, File, Migrator, checksum};
use super::options::{CqlOptions, Keyspaces};
use super::session;
use super::store::detect;

/// A migration, as this program and the store know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// From 1, without gaps.
    pub number: i32,
    /// Its file's name.
    pub name: String,
    /// SHA-256 of its text, in hexadecimal.
    pub checksum: String,
    /// How it stands.
    pub state: MigrationState,
}

/// How a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationState {
    /// Applied.
    Applied,
    /// Known here, not applied yet.
    Missing,
    /// Applied with another content than it has here.
    Changed,
    /// Applied by a newer version; not known here.
    Newer,
}

impl Migration {
    /// Whether the store has it, in whatever form.
    pub fn is_applied(&self) -> bool {
        self.state != MigrationState::Missing
    }
}

/// Every migration that is known here or there, in order; changes nothing.
///
/// # Errors
/// See [`OpenError`].
pub async fn migrations(options: &CqlOptions) -> Result<Vec<Migration>, OpenError> {
    let keyspaces = Keyspaces::named(&options.keyspace)?;
    let (session, _) = session::connect(options).await?;
    list(&session, &keyspaces).await
}

/// Applies what is missing, keyspaces included, under the lock; waits while
/// somebody else does so. Returns what there is afterwards.
///
/// # Errors
/// A newer or changed schema, of which nothing is changed; else see
/// [`OpenError`].
pub async fn migrate(options: &CqlOptions) -> Result<Vec<Migration>, OpenError> {
    let keyspaces = Keyspaces::named(&options.keyspace)?;
    let (session, datacenter) = session::connect(options).await?;
    let flavour = detect(&session).await?;
    let create = flavour.create_keyspaces(&keyspaces, &datacenter, options.replicas);
    let lease = Duration::from_millis(options.migration_lease_ms);
    migrator(&session, &keyspaces, lease)
        .migrate(&create)
        .await?;
    list(&session, &keyspaces).await
}

pub(super) async fn list(
    session: &Session,
    keyspaces: &Keyspaces,
) -> Result<Vec<Migration>, OpenError> {
    let applied = match has_migrations(session, keyspaces).await? {
        true => {
            migrator(session, keyspaces, Duration::ZERO)
                .applied()
                .await?
        }
        false => Vec::new(),
    };
    Ok(together(FILES, applied))
}

/// Whether the table of migrations was made.
pub(super) async fn has_migrations(
    session: &Session,
    keyspaces: &Keyspaces,
) -> Result<bool, OpenError> {
    let find = "SELECT table_name FROM system_schema.tables \
         WHERE keyspace_name = ? AND table_name = 'migrations'";
    let answer = session.query_unpaged(find, (&keyspaces.names,)).await;
    let answer = answer.map_err(|error| read_error(&error))?;
    let rows = answer.into_rows_result().map_err(damaged)?;
    Ok(rows.rows_num() > 0)
}

fn migrator<'a>(session: &'a Session, keyspaces: &'a Keyspaces, lease: Duration) -> Migrator<'a> {
    Migrator {
        session,
        keyspaces,
        files: FILES,
        holder: *Uuid::now_v7().as_bytes(),
        lease,
    }
}

fn together(files: &[File], applied: Vec<Applied>) -> Vec<Migration> {
    let mut all: Vec<Migration> = files
        .iter()
        .map(|file| {
            let mine = checksum(file);
            let noted = applied.iter().find(|a| a.number == file.number);
            let state = match noted {
                None => MigrationState::Missing,
                Some(noted) if noted.checksum == mine => MigrationState::Applied,
                Some(_) => MigrationState::Changed,
            };
            Migration {
                number: file.number,
                name: file.name.to_owned(),
                checksum: mine,
                state,
            }
        })
        .collect();
    let strange = applied
        .into_iter()
        .filter(|a| files.iter().all(|file| file.number != a.number));
    all.extend(strange.map(|a| Migration {
        number: a.number,
        name: a.name,
        checksum: a.checksum,
        state: MigrationState::Newer,
    }));
    all.sort_by_key(|migration| migration.number);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_migration_says_how_it_stands() {
        let file = |number, text| File {
            number,
            name: "file.cql",
            text,
        };
        let files = [file(1, "a;"), file(2, "b;"), file(3, "c;")];
        let noted = |number, checksum| Applied {
            number,
            name: "noted.cql".to_owned(),
            checksum,
        };
        let applied = vec![
            noted(4, "x".to_owned()),
            noted(2, "x".to_owned()),
            noted(1, checksum(&files[0])),
        ];
        let found = together(&files, applied);
        let states: Vec<_> = found.iter().map(|m| (m.number, m.state)).collect();
        assert_eq!(
            states,
            [
                (1, MigrationState::Applied),
                (2, MigrationState::Changed),
                (3, MigrationState::Missing),
                (4, MigrationState::Newer),
            ]
        );
        assert!(found[3].is_applied() && !found[2].is_applied());
    }
}
