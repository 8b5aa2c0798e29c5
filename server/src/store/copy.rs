//! `fanfare store copy`: everything from one store to another.

use std::io::Write as _;

use anyhow::{Context as _, anyhow, bail};
use fanfare_actors::account::Clock;
use fanfare_storage::copy::{self, Copied, CopyError, Tally};
use fanfare_storage::cql::CqlOptions;

use super::place::{Location, Store};
use super::tell::tell;
use crate::progress::Progress;

/// Copies everything, goes on where a copy before was stopped, and verifies
/// both sides.
///
/// # Errors
/// A sentence for people.
pub async fn copy(from: &Location, to: &Location, options: CqlOptions) -> anyhow::Result<()> {
    if from == to {
        bail!("cannot copy {from} to itself");
    }
    let source = Store::open(from, options.clone()).await?;
    let destination = Store::open_or_make(to, options).await?;
    let (tally, progress) = (Tally::default(), Progress::of("store copy"));
    let copied = {
        let (source, destination) = (source.ports(), destination.ports());
        let copying = copy::copy(&source, &destination, Clock::wall().now(), &tally);
        tokio::select! {
            copied = Box::pin(copying) => copied,
            never = tell(&tally, &progress, "copy", "copied") => match never {},
        }
    };
    source.close().await?;
    destination.close().await?;
    let Copied { digest, epoch } = copied.map_err(|error| explained(error, from, to))?;
    let seconds = progress.seconds();
    writeln!(
        std::io::stdout(),
        "copied {} conversations ({} rows, {} messages), {} accounts and {} claims from {from} to \
         {to} in {seconds:.1} s; epochs go on above {epoch}; checksum of both sides {digest}",
        digest.conversations,
        digest.rows,
        digest.messages,
        digest.accounts,
        digest.claims,
    )
    .context("cannot print the outcome")
}

fn explained(error: CopyError, from: &Location, to: &Location) -> anyhow::Error {
    let advice = match &error {
        CopyError::Nothing => format!("; has a server ever run on {from}?"),
        CopyError::NotEmpty | CopyError::OtherSource => {
            format!("; choose a place for --to that is empty, or empty {to}")
        }
        CopyError::Finished => "; nothing is left to do".to_owned(),
        CopyError::TwoAtOnce => "; wait for it".to_owned(),
        CopyError::Store { .. } => "; the same command goes on where it was".to_owned(),
        CopyError::Differ { conversations, .. } => {
            let some: Vec<String> = conversations.iter().map(ToString::to_string).collect();
            format!(
                "; was {from} in use meanwhile? stop it, empty {to}, copy again (conversations: {})",
                some.join(", ")
            )
        }
    };
    let error = anyhow::Error::from(error);
    anyhow!("cannot copy {from} to {to} because {error:#}{advice}")
}
