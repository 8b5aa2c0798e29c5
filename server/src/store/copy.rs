//! `fanfare store copy`: everything from one store to another.

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use fanfare_actors::account::Clock;
use fanfare_protocol::limits::PROGRESS_MS;
use fanfare_storage::copy::{self, Copied, CopyError, Tally};
use fanfare_storage::cql::CqlOptions;

use super::place::{Location, Store};
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
            never = tell(&tally, &progress) => match never {},
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

/// Never ends: how far it is, once a second.
async fn tell(tally: &Tally, progress: &Progress) -> std::convert::Infallible {
    let mut rows_before = 0;
    tally.counted.notified().await;
    let all = tally.all.load(Ordering::Relaxed);
    progress.say(format_args!("{all} conversations to copy"));
    loop {
        tokio::time::sleep(Duration::from_millis(PROGRESS_MS)).await;
        let verifying = tally.verifying.load(Ordering::Relaxed);
        let all = tally.all.load(Ordering::Relaxed);
        // Both sides are read again.
        let (doing, all) = if verifying {
            ("verified", 2 * all)
        } else {
            ("copied", all)
        };
        let done = tally.conversations.load(Ordering::Relaxed);
        let rows = tally.rows.load(Ordering::Relaxed);
        let percent = (done * 100).checked_div(all).unwrap_or(0).min(100);
        let rate = rows.saturating_sub(rows_before) * 1000 / PROGRESS_MS;
        progress.say(format_args!(
            "{doing} {percent} % of {all} conversations, {rows} rows, {rate} rows/s, after {:.0} s",
            progress.seconds()
        ));
        rows_before = rows;
    }
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
