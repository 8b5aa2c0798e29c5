//! The folder of a node whose data lie elsewhere: locked by one process, it
//! holds nothing but the node's own name.
//!
//! **Invariant:** two processes that run at the same time have different
//! names, or know that they cannot be sure: a folder that was copied gives a
//! new name, and one that comes from another machine or another boot says so
//! ([`NodeFolder::predecessor_ended`]).

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use fanfare_engine::lease::NodeName;
use uuid::Uuid;

use crate::folder::{CELLS_FOLDER, OpenError, io, lock, place};

const NAME_FILE: &str = "node";
const NAME_LINE: &str = "fanfare node ";
const PLACE_LINE: &str = "at ";
/// A number that is another one after each boot of the machine.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A node's folder; nobody else has it as long as this value lives.
pub struct NodeFolder {
    name: NodeName,
    predecessor_ended: bool,
    holds_embedded: bool,
    _lock: File,
}

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
struct Noted {
    name: NodeName,
    place: String,
}

impl NodeFolder {
    /// Locks the folder, made if it does not exist (mode 0700), and reads the
    /// node's name; at the first start it is made of a random number.
    ///
    /// # Errors
    /// [`OpenError::Locked`] while another process has it,
    /// [`OpenError::Foreign`] for a name that is not ours, else what the disk
    /// said.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let boot = std::fs::read_to_string(BOOT).unwrap_or_default();
        Self::open_after(folder, boot.trim())
    }

    /// The name; it stays with the folder.
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// Whether whoever used this name before has certainly ended: it ran on
    /// this machine since the last boot, and would still have the folder. So
    /// what it held may be taken over without waiting.
    pub fn predecessor_ended(&self) -> bool {
        self.predecessor_ended
    }

    /// Whether the folder has data of an embedded store too, which nobody
    /// looks at now.
    pub fn holds_embedded(&self) -> bool {
        self.holds_embedded
    }

    fn open_after(folder: &Path, boot: &str) -> Result<Self, OpenError> {
        let lock = lock(folder)?;
        let noted = read(folder)?;
        let path = folder.join(NAME_FILE);
        let here = match &noted {
            Some(_) => {
                let file = std::fs::metadata(&path);
                let file = file.map_err(|source| io("looking at", &path, source))?;
                place_of(boot, file.ino())
            }
            None => String::new(),
        };
        let fresh = || NodeName::new(&format!("node-{}", Uuid::now_v7().simple()));
        let (name, predecessor_ended) = match noted {
            Some(noted) if noted.place == here => (Some(noted.name), !boot.is_empty()),
            Some(noted) if file_of(&noted.place) == file_of(&here) => (Some(noted.name), false),
            Some(noted) => {
                let (path, old) = (folder.display(), noted.name.as_str());
                tracing::warn!(%path, old, "this folder was copied: the node takes a new name");
                (fresh(), true)
            }
            None => (fresh(), true),
        };
        let foreign = || OpenError::Foreign {
            folder: folder.to_owned(),
            why: "its file `node` is not ours",
        };
        let name = name.ok_or_else(foreign)?;
        place(folder, NAME_FILE, |file| {
            let here = place_of(boot, file.metadata()?.ino());
            let name = name.as_str();
            Ok(format!("{NAME_LINE}{name}\n{PLACE_LINE}{here}\n"))
        })?;
        Ok(Self {
            name,
            predecessor_ended,
            holds_embedded: folder.join(CELLS_FOLDER).exists(),
            _lock: lock,
        })
    }
}

/// Boot and file: a copy is another file.
fn place_of(boot: &str, inode: u64) -> String {
    format!("boot {boot} file {inode}")
}

fn file_of(place: &str) -> Option<&str> {
    place.rsplit_once(' ').map(|(_, file)| file)
}

fn read(folder: &Path) -> Result<Option<Noted>, OpenError> {
    let path = folder.join(NAME_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => String::new(),
        Err(source) => return Err(io("reading", &path, source)),
    };
    let noted = noted(&text).ok_or_else(|| OpenError::Foreign {
        folder: folder.to_owned(),
        why: "its file `node` is not ours",
    });
    noted.map(Some)
}

fn noted(text: &str) -> Option<Noted> {
    let (name, place) = text.strip_prefix(NAME_LINE)?.split_once('\n')?;
    let place = place.strip_prefix(PLACE_LINE)?.trim_end();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name = Some(name).filter(|name| name.chars().all(plain))?;
    Some(Noted {
        name: NodeName::new(name)?,
        place: place.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_name_and_knows_that_it_was_here_before() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let first = NodeFolder::open_after(&data, "boot-1").unwrap();
        assert!(
            first.name().as_str().starts_with("node-"),
            "{:?}",
            first.name()
        );
        assert!(first.predecessor_ended() && !first.holds_embedded());
        let second = NodeFolder::open_after(&data, "boot-1").err().unwrap();
        assert!(matches!(second, OpenError::Locked(_)), "{second}");
        let name = first.name().clone();
        drop(first);
        for (boot, ended) in [
            ("boot-1", true),
            ("boot-2", false),
            ("boot-2", true),
            ("", false),
            ("", false),
        ] {
            let again = NodeFolder::open_after(&data, boot).unwrap();
            assert_eq!(
                (again.name(), again.predecessor_ended()),
                (&name, ended),
                "{boot}"
            );
        }
    }

    #[test]
    fn a_copied_folder_gives_a_new_name() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let first = NodeFolder::open_after(&one, "boot").unwrap();
        std::fs::create_dir(&two).unwrap();
        std::fs::copy(one.join(NAME_FILE), two.join(NAME_FILE)).unwrap();
        let second = NodeFolder::open_after(&two, "boot").unwrap();
        assert_ne!(first.name(), second.name());
        let name = second.name().clone();
        drop(second);
        assert_eq!(NodeFolder::open_after(&two, "boot").unwrap().name(), &name);
    }

    #[test]
    fn a_name_that_is_not_ours_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME_FILE);
        for text in [
            "",
            "node-1",
            "fanfare node \nat x",
            "fanfare node a b\nat x",
            "fanfare node a\nelse",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = NodeFolder::open(folder.path()).err().unwrap();
            assert!(
                matches!(error, OpenError::Foreign { .. }),
                "{text}: {error}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn the_lock_is_that_of_an_embedded_store() {
        let folder = tempfile::tempdir().unwrap();
        let limits = fanfare_protocol::Limits::default();
        let store = crate::Embedded::open(folder.path(), &limits).unwrap();
        let error = NodeFolder::open(folder.path()).err().unwrap();
        assert!(matches!(error, OpenError::Locked(_)), "{error}");
        drop(store);
        assert!(NodeFolder::open(folder.path()).unwrap().holds_embedded());
    }
}
