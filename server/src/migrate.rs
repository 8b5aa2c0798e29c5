//! `fanfare migrate`: brings the tables of a CQL store up to date, or says
//! what is missing.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use fanfare_storage::cql::{self, CqlOptions, Migration, MigrationState};

use crate::config::{Config, Store};
use crate::open::cql::refused;

/// Characters of a checksum that are shown.
const SHOWN: usize = 16;

/// Applies what is missing, or with `check` only looks, and prints a table.
/// True if nothing is missing afterwards.
///
/// # Errors
/// A sentence for people.
pub async fn migrate(config: &Config, check: bool) -> anyhow::Result<bool> {
    if config.store == Store::Embedded {
        bail!("the embedded store has no tables to migrate; choose the other with --store cql");
    }
    let options = CqlOptions {
        // Whether a start may do it is another question.
        migrate: !check,
        ..config.cql_options()?
    };
    let before = cql::migrations(&options).await;
    let before = before.map_err(|error| refused(config, error))?;
    if check {
        print(&table(&before, &before))?;
        let applied = |migration: &Migration| migration.state == MigrationState::Applied;
        return Ok(before.iter().all(applied));
    }
    let after = cql::migrate(&options).await;
    let after = after.map_err(|error| refused(config, error))?;
    print(&table(&before, &after))?;
    Ok(true)
}

fn table(before: &[Migration], after: &[Migration]) -> String {
    let names = after.iter().map(|migration| migration.name.len());
    let width = names.max().unwrap_or(0).max("name".len());
    let mut text = format!("number  {:width$}  {:SHOWN$}  state\n", "name", "checksum");
    for migration in after {
        let was = before.iter().find(|was| was.number == migration.number);
        let state = match migration.state {
            MigrationState::Applied if was.is_some_and(|was| !was.is_applied()) => "applied now",
            MigrationState::Applied => "applied",
            MigrationState::Missing => "MISSING: `fanfare migrate` applies it",
            MigrationState::Changed => "CHANGED: the store has another content under this number",
            MigrationState::Newer => "NEWER: this version of fanfare does not know it",
        };
        let checksum: String = migration.checksum.chars().take(SHOWN).collect();
        let (number, name) = (migration.number, &migration.name);
        text += &format!("{number:6}  {name:width$}  {checksum:SHOWN$}  {state}\n");
    }
    text
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.context("cannot print the migrations")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_was_done() {
        let migration = |number, state| Migration {
            number,
            name: format!("{number:04}_x.cql"),
            checksum: "0123456789abcdef0123".to_owned(),
            state,
        };
        use MigrationState::{Applied, Changed, Missing, Newer};
        let before = [migration(1, Applied), migration(2, Missing)];
        let after = [migration(1, Applied), migration(2, Applied)];
        let expected = "number  name        checksum          state\n     \
                        1  0001_x.cql  0123456789abcdef  applied\n     \
                        2  0002_x.cql  0123456789abcdef  applied now\n";
        assert_eq!(table(&before, &after), expected);
        let all = [Missing, Changed, Newer].map(|state| migration(3, state));
        let text = table(&all, &all);
        for word in ["MISSING", "CHANGED", "NEWER"] {
            assert!(text.contains(word), "{text}");
        }
    }
}
