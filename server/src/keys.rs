//! The key of access tokens, made on first start: a file beside an embedded
//! store, for nobody but its owner; in a store of several nodes a value that
//! all of them share. (The secret that travels with the data lies in the store
//! itself.)

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fanfare_actors::account::{TokenKey, random};
use fanfare_engine::port::StoreError;
use fanfare_storage::copy::Tally;
use fanfare_storage::cql::Cql;

const FOLDER: &str = "keys";
const FILE: &str = "token.key";
/// What the shared one is called in the store.
const SHARED: &str = "token-key";
/// Whatever lets group or others in.
const FOREIGN_BITS: u32 = 0o077;

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Others may read it.
    #[error(
        "cannot use {} because others may read it (mode {mode:o}); \
         if nobody did, `chmod {wanted:o} {}`, else delete the key: everybody then logs in anew",
        path.display(), path.display()
    )]
    Open {
        /// Folder or file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it should have.
        wanted: u32,
    },
    /// It is not what was written.
    #[error(
        "cannot use {} because it is no key; restore it or delete it: everybody then logs in anew",
        .0.display()
    )]
    Damaged(PathBuf),
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("cannot make a key because the operating system gives no random bytes")]
    NoRandomness,
    /// The store did not give the shared one.
    #[error("cannot read the key of access tokens from the store")]
    Store(#[from] StoreError),
}

/// The key that all nodes of a store share, made by the first that asks.
///
/// # Errors
/// See [`KeyError`].
pub async fn shared_token_key(store: &Cql) -> Result<TokenKey, KeyError> {
    let fresh: [u8; 32] = random().map_err(|_| KeyError::NoRandomness)?;
    let fresh = Bytes::copy_from_slice(&fresh);
    let stored = Tally::default()
        .again(|| store.value_or_put(SHARED, fresh.clone()))
        .await?;
    let damaged = |_| StoreError::Damaged("the key of access tokens has not 32 bytes".into());
    let key = <[u8; 32]>::try_from(&stored[..]).map_err(damaged)?;
    Ok(TokenKey::new(key))
}

/// The key in `data`, made if there is none yet (folder 0700, file 0600).
/// Call it with the data locked: then nobody else makes one.
///
/// # Errors
/// See [`KeyError`].
pub fn token_key(data: &Path) -> Result<TokenKey, KeyError> {
    let folder = data.join(FOLDER);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|source| failed("create", &folder, source))?;
    closed(&folder, 0o700)?;
    let path = folder.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            closed(&path, 0o600)?;
            let bytes = read_hex(text.trim_end()).ok_or(KeyError::Damaged(path))?;
            Ok(TokenKey::new(bytes))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(&folder, &path),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(KeyError::Damaged(path)),
        Err(source) => Err(failed("read", &path, source)),
    }
}

/// Complete under its name or not there at all, also after a power cut.
fn make(folder: &Path, path: &Path) -> Result<TokenKey, KeyError> {
    let bytes: [u8; 32] = random().map_err(|_| KeyError::NoRandomness)?;
    let draft = folder.join("token.key.new");
    let written = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(file, "{hex}")?;
            file.sync_all()
        });
    written.map_err(|source| failed("write", &draft, source))?;
    closed(&draft, 0o600)?;
    std::fs::rename(&draft, path).map_err(|source| failed("name", path, source))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| failed("sync", folder, source))?;
    tracing::info!(path = %path.display(), "made a key for access tokens");
    Ok(TokenKey::new(bytes))
}

fn closed(path: &Path, wanted: u32) -> Result<(), KeyError> {
    let metadata = std::fs::metadata(path).map_err(|source| failed("look at", path, source))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & FOREIGN_BITS == 0 {
        return Ok(());
    }
    Err(KeyError::Open {
        path: path.to_owned(),
        mode,
        wanted,
    })
}

fn read_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, index) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(index..index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> KeyError {
    KeyError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, metadata, set_permissions};

    use fanfare_actors::account::AccessTokens;
    use fanfare_protocol::{SessionId, Timestamp, UserId};
    use tempfile::tempdir;
    use uuid::Uuid;

    use super::*;

    fn mode(path: &Path) -> u32 {
        metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_key_is_made_once_and_is_its_owners_alone() {
        let data = tempdir().unwrap();
        let first = AccessTokens::new(&token_key(data.path()).unwrap());
        assert_eq!(mode(&data.path().join("keys")), 0o700);
        assert_eq!(mode(&data.path().join("keys/token.key")), 0o600);
        let (user, session) = (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)));
        let token = first.issue(user, session, Timestamp(0), 60).unwrap();
        let again = AccessTokens::new(&token_key(data.path()).unwrap());
        again.verify(&token, Timestamp(0)).unwrap();
        let elsewhere = tempdir().unwrap();
        let other = AccessTokens::new(&token_key(elsewhere.path()).unwrap());
        assert!(other.verify(&token, Timestamp(0)).is_err());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let data = tempdir().unwrap();
        token_key(data.path()).unwrap();
        for (name, open, closed) in [("keys/token.key", 0o640, 0o600), ("keys", 0o755, 0o700)] {
            let path = data.path().join(name);
            set_permissions(&path, Permissions::from_mode(open)).unwrap();
            let error = token_key(data.path()).unwrap_err().to_string();
            assert!(error.contains("others may read it"), "{error}");
            assert!(error.contains(&format!("chmod {closed:o}")), "{error}");
            set_permissions(&path, Permissions::from_mode(closed)).unwrap();
        }
        token_key(data.path()).unwrap();
    }

    #[test]
    fn what_is_no_key_is_refused_and_stays_as_it_is() {
        let data = tempdir().unwrap();
        token_key(data.path()).unwrap();
        let path = data.path().join("keys/token.key");
        for text in ["", "00", "zz", &"0".repeat(63), &"ä".repeat(32)] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(token_key(data.path()), Err(KeyError::Damaged(_))));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_draft_left_by_a_crash_is_no_key() {
        let data = tempdir().unwrap();
        std::fs::create_dir(data.path().join("keys")).unwrap();
        set_permissions(data.path().join("keys"), Permissions::from_mode(0o700)).unwrap();
        let draft = data.path().join("keys/token.key.new");
        std::fs::write(&draft, "12").unwrap();
        set_permissions(&draft, Permissions::from_mode(0o600)).unwrap();
        token_key(data.path()).unwrap();
        assert!(!draft.exists());
    }
}
