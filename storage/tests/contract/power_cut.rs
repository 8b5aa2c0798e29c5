//! The power fails while four logs grow: a file system in a file is cut off
//! from its disk, so that whatever was not synced is gone. What was
//! acknowledged is there afterwards; without syncs it is not, so the check can
//! fail.

#![expect(unsafe_code, reason = "cutting a file system off is an ioctl")]

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use fanfare_protocol::Limits;
use fanfare_storage::Embedded;
use rustix::ioctl::{Setter, ioctl};

use crate::build::say;
use crate::kill::{Said, run_child};

/// `FS_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)` in linux/fs.h.
const SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
/// Without writing out even the file system's own log: ext4's
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`.
const NO_LOG_FLUSH: u32 = 2;
const DISK_BYTES: u64 = 512 * 1024 * 1024;
const LINES: usize = 200;

/// An ext4 in a file, mounted.
struct Disk {
    _folder: tempfile::TempDir,
    image: PathBuf,
    mounted_at: PathBuf,
}

impl Disk {
    fn mount() -> Result<Self, String> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let image = folder.path().join("disk.img");
        let mounted_at = folder.path().join("mounted");
        let file = File::create(&image).unwrap();
        file.set_len(DISK_BYTES).unwrap();
        std::fs::create_dir(&mounted_at).unwrap();
        run("mkfs.ext4", &[OsStr::new("-q"), image.as_os_str()])?;
        let disk = Self {
            _folder: folder,
            image,
            mounted_at,
        };
        disk.mount_again()?;
        Ok(disk)
    }

    fn mount_again(&self) -> Result<(), String> {
        let loop_device = [OsStr::new("-o"), OsStr::new("loop")];
        let [o, option] = loop_device;
        let (image, at) = (self.image.as_os_str(), self.mounted_at.as_os_str());
        run("mount", &[o, option, image, at])
    }

    fn unmount(&self) -> Result<(), String> {
        run("umount", &[self.mounted_at.as_os_str()])
    }

    fn data(&self) -> PathBuf {
        self.mounted_at.join("data")
    }

    fn root(&self) -> File {
        File::open(&self.mounted_at).unwrap()
    }

    /// The power fails.
    fn cut(&self) -> rustix::io::Result<()> {
        // SAFETY: the kernel reads one u32 behind the pointer it is given,
        // and nothing else of this process.
        unsafe { ioctl(self.root(), Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It may not be mounted; then there is nothing to do.
        let _ = self.unmount();
    }
}

fn run(program: &str, arguments: &[&OsStr]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    output
        .status
        .success()
        .then_some(())
        .ok_or(format!("{program}: {why}"))
}

/// A disk, if this machine lets us cut one off.
fn disk() -> Option<Disk> {
    let disk = Disk::mount().and_then(|disk| {
        disk.cut().map_err(|error| format!("shutdown: {error}"))?;
        disk.unmount()?;
        disk.mount_again()?;
        Ok(disk)
    });
    if let Err(why) = &disk {
        say(&format!("SKIPPED: power cuts of the embedded store: {why}"));
    }
    disk.ok()
}

/// Runs the child until it has said enough, cuts the power, and comes back.
fn write_until_the_power_fails(
    disk: &Disk,
    environment: &[(&str, &OsStr)],
    at_first: impl Fn(),
) -> Vec<String> {
    let said = run_child(
        &disk.data(),
        LINES,
        environment,
        |lines, child: &mut Child| {
            if lines == 1 {
                at_first();
            }
            if lines == LINES {
                disk.cut().unwrap();
                child.kill().unwrap();
            }
        },
    );
    disk.unmount().unwrap();
    disk.mount_again().unwrap();
    said
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_power_cut() {
    let Some(disk) = disk() else { return };
    let mut said = Said::default();
    for round in 1..=3 {
        said.hear(&write_until_the_power_fails(&disk, &[], || ()));
        let store = Embedded::open(&disk.data(), &Limits::default()).unwrap();
        assert_eq!(said.lost(&store.ports()).await, 0, "round {round}");
    }
}

/// A library that makes syncs do nothing, for the child.
fn without_syncs(folder: &Path) -> Result<PathBuf, String> {
    let (source, library) = (folder.join("no_sync.c"), folder.join("no_sync.so"));
    let text = "int fsync(int fd) { (void)fd; return 0; }\n\
         int fdatasync(int fd) { (void)fd; return 0; }\n";
    std::fs::write(&source, text).unwrap();
    let [shared, pic, o] = ["-shared", "-fPIC", "-o"].map(OsStr::new);
    let arguments = [shared, pic, o, library.as_os_str(), source.as_os_str()];
    run("cc", &arguments)?;
    Ok(library)
}

#[tokio::test]
async fn without_syncs_a_power_cut_loses_what_was_acknowledged() {
    let Some(disk) = disk() else { return };
    let folder = tempfile::tempdir().unwrap();
    let library = match without_syncs(folder.path()) {
        Ok(library) => library,
        Err(why) => return say(&format!("SKIPPED: power cuts without syncs: {why}")),
    };
    let environment = [("LD_PRELOAD", library.as_os_str())];
    // The folder itself is there, so that it can be opened afterwards.
    let sync = || rustix::fs::syncfs(disk.root()).unwrap();
    let lines = write_until_the_power_fails(&disk, &environment, sync);
    let mut said = Said::default();
    said.hear(&lines);
    // What a cut leaves behind need not even open. Which of both it was is part of
    // what a run says.
    let outcome = match Embedded::open(&disk.data(), &Limits::default()) {
        Ok(store) => {
            let lost = said.lost(&store.ports()).await;
            assert!(lost > 0, "nothing was lost");
            format!("rows lost: {lost} acknowledged ones are not there")
        }
        Err(error) => format!("it does not open: {}", chain(&error)),
    };
    say(&format!("power cut without syncs: {outcome}"));
}

/// An error and what it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    let causes = causes.map(|cause| format!(": {cause}"));
    error.to_string() + &causes.collect::<String>()
}
