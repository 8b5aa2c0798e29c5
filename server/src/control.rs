//! The control socket in the data folder: what `fanfare` asks of the process
//! that has the folder. One request a connection: a line, answered by a line
//! of JSON, behind which a backup follows as it is written.
//!
//! Only who may read the data may connect: the folder's mode, the socket's
//! mode and the peer's user are looked at.

use std::fs::{File, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fanfare_actors::account::Clock;
use fanfare_protocol::limits::{
    ACCEPT_PAUSE_MS_MAX, BACKUP_STALLED_MS_MAX, CONTROL_CONNECTIONS_MAX, CONTROL_REQUEST_BYTES_MAX,
    CONTROL_REQUEST_MS_MAX, SOCKET_PATH_BYTES_MAX,
};
use fanfare_storage::backup::Backups;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

const SOCKET: &str = "control.sock";
const BACKUP: &str = "backup";

/// The first line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    /// What was asked for follows.
    Follows,
    /// It does not, and why.
    Refused(String),
}

/// The socket, open as long as this value lives.
pub struct Control {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Control {
    /// Listens in `folder`, which this process has locked. Needs a runtime.
    ///
    /// # Errors
    /// What the file system said.
    pub fn listen(folder: &Path, backups: Backups) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // With the folder locked it is nobody's any more.
            _ => {}
        }
        let listener = Place::of(folder)?.bind()?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let task = tokio::spawn(accept(listener, backups));
        Ok(Self { path, task })
    }
}

impl Drop for Control {
    /// Cuts off whoever is connected.
    fn drop(&mut self) {
        self.task.abort();
        std::fs::remove_file(&self.path).ok();
    }
}

/// Asks the process that has `folder` for a backup, which is what can be read
/// from the connection. Blocks.
///
/// # Errors
/// A sentence for people.
pub fn ask_for_backup(folder: &Path) -> anyhow::Result<BufReader<StdStream>> {
    let asked = || -> io::Result<_> {
        let mut stream = Place::of(folder)?.connect()?;
        stream.set_read_timeout(Some(Duration::from_millis(BACKUP_STALLED_MS_MAX)))?;
        writeln!(stream, "{BACKUP}")?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        (&mut stream)
            .take(CONTROL_REQUEST_BYTES_MAX)
            .read_line(&mut line)?;
        Ok((line, stream))
    };
    let (line, stream) = asked().map_err(|error| {
        anyhow::anyhow!(
            "cannot ask the process that has {} because {error}; \
             if it is just starting, try again, else stop it and back up then",
            folder.display()
        )
    })?;
    match serde_json::from_str(&line) {
        Ok(Answer::Follows) => Ok(stream),
        Ok(Answer::Refused(why)) => anyhow::bail!("the running server refuses because {why}"),
        Err(_) => anyhow::bail!("the running server answers what this version does not know"),
    }
}

/// Where the socket is, by a path short enough for its address.
struct Place {
    path: PathBuf,
    /// Keeps the short path good.
    _folder: Option<File>,
}

impl Place {
    fn of(folder: &Path) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        if path.as_os_str().as_bytes().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Self {
                path,
                _folder: None,
            });
        }
        let folder = File::open(folder)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
        Ok(Self {
            path: path.into(),
            _folder: Some(folder),
        })
    }

    fn bind(&self) -> io::Result<StdListener> {
        StdListener::bind(&self.path)
    }

    fn connect(&self) -> io::Result<StdStream> {
        StdStream::connect(&self.path)
    }
}

async fn accept(listener: UnixListener, backups: Backups) {
    let mut open = JoinSet::new();
    let turn = Arc::new(Semaphore::new(1));
    loop {
        while open.len() >= CONTROL_CONNECTIONS_MAX {
            open.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    open.spawn(serve(stream, backups.clone(), Arc::clone(&turn)));
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket accepts nobody");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS_MAX)).await;
                }
            },
            Some(_) = open.join_next() => {}
        }
    }
}

async fn serve(stream: UnixStream, backups: Backups, turn: Arc<Semaphore>) {
    if let Err(error) = answer(stream, backups, &turn).await {
        tracing::warn!(%error, "a request on the control socket ended early");
    }
}

async fn answer(mut stream: UnixStream, backups: Backups, turn: &Semaphore) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        return refuse(stream, "this user may not").await;
    }
    let mut request = String::new();
    let line = (&mut stream).take(CONTROL_REQUEST_BYTES_MAX);
    let mut line = tokio::io::BufReader::new(line);
    let patience = Duration::from_millis(CONTROL_REQUEST_MS_MAX);
    tokio::time::timeout(patience, line.read_line(&mut request)).await??;
    if request.trim_end() != BACKUP {
        return refuse(stream, "it does not know this request").await;
    }
    let Ok(_turn) = turn.try_acquire() else {
        return refuse(stream, "another backup is under way").await;
    };
    say(&mut stream, &Answer::Follows).await?;
    let out = stream.into_std()?;
    out.set_nonblocking(false)?;
    out.set_write_timeout(Some(Duration::from_millis(BACKUP_STALLED_MS_MAX)))?;
    let _cut = Cut(out.try_clone()?);
    tracing::info!("backup begins");
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let taken = backups.take(out, Clock::wall().now(), version).await;
    match taken {
        Ok(totals) => tracing::info!(
            bytes = totals.bytes,
            messages = totals.messages,
            "backup taken"
        ),
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::warn!(error = format!("{error:#}"), "no backup");
        }
    }
    Ok(())
}

async fn refuse(mut stream: UnixStream, why: &str) -> io::Result<()> {
    say(&mut stream, &Answer::Refused(why.to_owned())).await
}

async fn say(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

/// Ends a connection, and with it the thread that writes to it, also when the
/// task that waits for that thread is aborted.
struct Cut(StdStream);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.shutdown(std::net::Shutdown::Both).ok();
    }
}

#[cfg(test)]
mod tests {
    use fanfare_protocol::Limits;
    use fanfare_storage::Embedded;
    use fanfare_storage::backup::verify;

    use super::*;

    fn asked(folder: &Path, request: &str) -> String {
        let mut stream = Place::of(folder).unwrap().connect().unwrap();
        writeln!(stream, "{request}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_backup_is_asked_for_also_by_a_long_path() {
        let here = tempfile::tempdir().unwrap();
        for folder in ["short".to_owned(), "long".repeat(40)] {
            let folder = here.path().join(folder);
            let store = Embedded::open(&folder, &Limits::default()).unwrap();
            // One that a kill left behind.
            drop(StdListener::bind(here.path().join("old")).unwrap());
            std::fs::rename(here.path().join("old"), folder.join(SOCKET)).unwrap();
            let control = Control::listen(&folder, store.backups()).unwrap();
            let mode = std::fs::metadata(folder.join(SOCKET))
                .unwrap()
                .permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
            let asking = folder.clone();
            let verified = tokio::task::spawn_blocking(move || {
                verify(ask_for_backup(&asking).unwrap(), &mut |_| {}).unwrap()
            });
            verified.await.unwrap();
            let asking = folder.clone();
            let line = tokio::task::spawn_blocking(move || asked(&asking, "dance"));
            assert!(line.await.unwrap().contains("refused"));
            drop(control);
            assert!(!folder.join(SOCKET).exists());
            let error = ask_for_backup(&folder).unwrap_err().to_string();
            assert!(error.contains("cannot ask the process"), "{error}");
        }
    }
}
