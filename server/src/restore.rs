//! `fanfare restore`: a data folder from a backup.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use fanfare_actors::account::random;
use fanfare_protocol::limits::{RESTORE_EPOCHS_MIN, RESTORE_EPOCHS_SPREAD};
use fanfare_storage::backup::{self, BackupError};

use crate::backup::{far, only_embedded};
use crate::config::Config;
use crate::progress::{Progress, size};

/// Makes the configured data folder, which must be absent or empty, from the
/// backup `from`. Blocks.
///
/// # Errors
/// A sentence for people.
pub fn restore(config: &Config, from: &Path) -> anyhow::Result<()> {
    only_embedded(config.store, "restore")?;
    let data = &config.data;
    let mut progress = Progress::of("restore");
    let epochs = epochs_left_out()?;
    let restored = backup::restore(
        from,
        data,
        &config.limits,
        epochs,
        &mut |writing, passed| {
            let doing = if writing { "written" } else { "checked about" };
            progress.tell(|| format!("{doing} {}", far(passed)));
        },
    );
    let restored = restored.map_err(|error| {
        let advice = match &error {
            BackupError::NotEmpty(_) => "; choose another folder with --data",
            BackupError::Damaged { .. } | BackupError::Foreign => "; take another backup",
            BackupError::Newer { .. } => "; use that version of fanfare",
            _ => "",
        };
        let error = anyhow::Error::from(error);
        anyhow!(
            "cannot restore {} because {error:#}{advice}",
            from.display()
        )
    })?;
    let totals = restored.totals;
    let seconds = progress.seconds();
    writeln!(
        std::io::stdout(),
        "restored {} messages in {} conversations ({}) of {} to {} in {seconds:.1} s; \
         clients that saw more are told to fetch anew",
        totals.messages,
        totals.conversations,
        size(totals.bytes),
        restored.header.created_at,
        data.display(),
    )
    .context("cannot print the outcome")
}

/// How far above the backup's newest epoch the restored data go on. Nobody
/// knows how often the server was started after the backup, nor whether the
/// same backup was restored before: entries of two lives must not have one
/// name, so a part of it is chance.
fn epochs_left_out() -> anyhow::Result<u64> {
    let random: [u8; 8] = random().map_err(|_| {
        anyhow!("cannot restore because the operating system gives no random bytes")
    })?;
    Ok(RESTORE_EPOCHS_MIN + u64::from_be_bytes(random) % RESTORE_EPOCHS_SPREAD)
}
