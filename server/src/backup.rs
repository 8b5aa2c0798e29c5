//! `fanfare backup`: the data of the embedded store in one file, from the
//! running server where there is one.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use fanfare_actors::account::Clock;
use fanfare_storage::backup::{BackupError, Header, Passed, Tee, Totals, verify};
use fanfare_storage::{Embedded, OpenError};

use crate::config::{Config, Store};
use crate::control::ask_for_backup;
use crate::progress::{Progress, percent, size};

/// Writes a backup of the configured data to `to`, a file that does not
/// exist or a folder, where it is named after the time.
///
/// # Errors
/// A sentence for people.
pub async fn backup(config: &Config, to: &Path) -> anyhow::Result<()> {
    only_embedded(config.store, "backup")?;
    let data = &config.data;
    if !data.join("format").exists() {
        bail!(
            "cannot back up because there are no data in {}; name the folder with --data",
            data.display()
        );
    }
    let file = named(to)?;
    let draft = Draft::begin(&file)?;
    let mut progress = Progress::of("backup");
    let (folder, limits) = (data.clone(), config.limits.clone());
    let opened = tokio::task::spawn_blocking(move || Embedded::open(&folder, &limits)).await?;
    let (header, totals) = match opened {
        Ok(store) => {
            let (from, out) = io::pipe().context("cannot make a pipe")?;
            let (backups, version) = (store.backups(), env!("CARGO_PKG_VERSION").to_owned());
            let take = async move { backups.take(out, Clock::wall().now(), version).await };
            let taking = tokio::spawn(take);
            let saved = saved(BufReader::new(from), draft, progress).await?;
            taking.await?.context("cannot read the data")?;
            tokio::task::spawn_blocking(move || drop(store)).await?;
            progress = saved.progress;
            (saved.header, saved.totals)
        }
        Err(OpenError::Locked(_)) => {
            let folder = data.clone();
            let from = tokio::task::spawn_blocking(move || ask_for_backup(&folder)).await??;
            let saved = saved(from, draft, progress).await?;
            progress = saved.progress;
            (saved.header, saved.totals)
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot open {}", data.display()));
        }
    };
    let seconds = progress.seconds();
    writeln!(
        io::stdout(),
        "backed up {} messages in {} conversations ({}) to {} in {seconds:.1} s, as of {}",
        totals.messages,
        totals.conversations,
        size(totals.bytes),
        file.display(),
        header.created_at,
    )
    .context("cannot print the outcome")
}

/// How much of a backup has passed, for people.
pub fn far(Passed { totals, cells_all }: Passed) -> String {
    format!(
        "{} %, {}, {} messages,",
        percent(totals.cells, cells_all),
        size(totals.bytes),
        totals.messages
    )
}

/// # Errors
/// For a store whose servers have their own means.
pub fn only_embedded(store: Store, command: &str) -> anyhow::Result<()> {
    match store {
        Store::Embedded => Ok(()),
        Store::Cql => bail!(
            "fanfare {command} is for the embedded store; a CQL cluster is backed up by its own \
             snapshots, or copied with `fanfare store copy`"
        ),
    }
}

/// The file to write: `to` itself, or one in it.
fn named(to: &Path) -> anyhow::Result<PathBuf> {
    let file = if to.is_dir() {
        let now = Clock::wall().now().to_string();
        let digits: String = now.chars().filter(char::is_ascii_digit).take(14).collect();
        to.join(format!("fanfare-{digits}.backup"))
    } else {
        to.to_owned()
    };
    if file.symlink_metadata().is_ok() {
        bail!(
            "cannot back up because {} exists; choose another name",
            file.display()
        );
    }
    Ok(file)
}

struct Saved {
    header: Header,
    totals: Totals,
    progress: Progress,
}

/// Writes what is read, checks all of it, and gives it its name.
async fn saved(
    from: impl Read + Send + 'static,
    draft: Draft,
    mut progress: Progress,
) -> anyhow::Result<Saved> {
    let save = move || {
        let tee = Tee {
            from,
            to: BufWriter::new(&draft.file),
        };
        let verified = verify(tee, &mut |passed| {
            progress.tell(|| format!("about {}", far(passed)));
        });
        let (header, totals) = verified.map_err(|error| {
            let cut = matches!(&error, BackupError::Damaged { why, .. } if why.contains("cut"));
            let error = anyhow::Error::from(error);
            if cut {
                error.context("the backup ended early; the server's log says why")
            } else {
                error.context("cannot back up")
            }
        })?;
        draft.finish()?;
        Ok(Saved {
            header,
            totals,
            progress,
        })
    };
    tokio::task::spawn_blocking(save).await?
}

/// A file that gets its name when it is complete and durable; removed if it
/// never is.
struct Draft {
    file: File,
    path: PathBuf,
    /// Its name.
    wanted: PathBuf,
}

impl Draft {
    fn begin(wanted: &Path) -> anyhow::Result<Self> {
        let mut path = wanted.as_os_str().to_owned();
        path.push(".partial");
        let path = PathBuf::from(path);
        let cannot = || format!("cannot write {}", path.display());
        // One that a killed backup left is written over.
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "cannot write {} because another backup does",
                    path.display()
                )
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        file.set_permissions(Permissions::from_mode(0o600))
            .and_then(|()| file.set_len(0))
            .with_context(cannot)?;
        Ok(Self {
            wanted: wanted.to_owned(),
            file,
            path,
        })
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let cannot = |path: &Path| format!("cannot write {}", path.display());
        (self.file.flush())
            .and_then(|()| self.file.sync_all())
            .with_context(|| cannot(&self.path))?;
        name(&self.path, &self.wanted).with_context(|| cannot(&self.wanted))?;
        let folder = match self.wanted.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.with_context(|| format!("cannot sync {}", folder.display()))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already where it got its name.
        std::fs::remove_file(&self.path).ok();
    }
}

/// Names a file unless the name is taken.
fn name(path: &Path, wanted: &Path) -> io::Result<()> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(rustix::fs::CWD, path, rustix::fs::CWD, wanted, flags) {
        // A file system that knows no such flag.
        Err(rustix::io::Errno::INVAL) if wanted.symlink_metadata().is_ok() => {
            Err(ErrorKind::AlreadyExists.into())
        }
        Err(rustix::io::Errno::INVAL) => std::fs::rename(path, wanted),
        outcome => outcome.map_err(io::Error::from),
    }
}
