//! The disk below the data folder: what kind of file system, how much is
//! free, and how long one small durable write takes, which is what a lone
//! message waits for.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use fanfare_protocol::limits::{
    DISK_FREE_BYTES_MIN, DISK_FREE_FEW_BYTES, DISK_INODES_MIN, DISK_SYNC_BLOCK_BYTES,
    DISK_SYNC_FAST_US, DISK_SYNC_MEDIAN_US_MAX, DISK_SYNC_MS_MAX, DISK_SYNC_P99_US_MAX, DISK_SYNCS,
};
use rustix::fs::{statfs, statvfs};

use super::finding::{Finding, bytes};
use crate::config::{Config, Store};

/// What a file system does to durability, by the number that `statfs` gives
/// (`linux/magic.h`).
const KINDS: [(u64, &str, Kind); 17] = [
    (0xEF53, "ext4", Kind::Local),
    (0x5846_5342, "xfs", Kind::Local),
    (0x9123_683E, "btrfs", Kind::Local),
    (0xF2F5_2010, "f2fs", Kind::Local),
    (0x2FC1_2FC1, "zfs", Kind::Local),
    (0xCA45_1A4E, "bcachefs", Kind::Local),
    (0x0102_1994, "tmpfs", Kind::Memory),
    (0x8584_58F6, "ramfs", Kind::Memory),
    (0x794C_7630, "overlay", Kind::Overlay),
    (0x6969, "nfs", Kind::Network),
    (0xFF53_4D42, "cifs", Kind::Network),
    (0xFE53_4D42, "smb2", Kind::Network),
    (0x517B, "smb", Kind::Network),
    (0x00C3_6400, "ceph", Kind::Network),
    (0x0102_1997, "9p", Kind::Network),
    (0x5346_414F, "afs", Kind::Network),
    (0x6573_5546, "fuse", Kind::Network),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Local,
    Memory,
    Overlay,
    Network,
}

pub fn check(config: &Config) -> Vec<Finding> {
    let Some(folder) = existing(&config.data) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let kind = statfs(folder).map(|found| found.f_type as u64 & 0xFFFF_FFFF);
    if let Ok(number) = kind {
        findings.push(judge_kind(number));
    }
    if let Ok(found) = statvfs(folder) {
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        findings.push(judge_space(free));
        // File systems without a table of inodes say 0 of 0.
        if found.f_files > 0 {
            findings.push(judge_inodes(found.f_favail));
        }
    }
    if config.store == Store::Cql {
        // The folder holds a name and a lock; nothing waits for its disk.
        return findings;
    }
    let in_memory = kind.is_ok_and(|number| known(number).1 == Kind::Memory);
    findings.push(match measure(folder) {
        Ok(taken) => judge_sync(taken, in_memory),
        Err(error) => not_writable(folder, &error),
    });
    findings
}

/// The folder, or the nearest above it that exists: the server makes the rest.
fn existing(data: &Path) -> Option<&Path> {
    let mut folders = data.ancestors();
    folders.find_map(|folder| match folder {
        empty if empty.as_os_str().is_empty() => Some(Path::new(".")),
        folder => folder.is_dir().then_some(folder),
    })
}

fn known(number: u64) -> (String, Kind) {
    let found = KINDS.iter().find(|(magic, ..)| *magic == number);
    match found {
        Some((_, name, kind)) => ((*name).to_owned(), *kind),
        None => (format!("{number:#x}"), Kind::Local),
    }
}

fn judge_kind(number: u64) -> Finding {
    let (name, kind) = known(number);
    let finding = Finding::ok("file system", name, "a local disk");
    let move_it = "move the data folder to a local disk with --data";
    match kind {
        Kind::Local => finding,
        Kind::Memory => finding.fail(format!("{move_it}: this is memory, a restart empties it")),
        Kind::Overlay => finding.warn(format!(
            "mount a volume there, or {move_it}: a container's own layer ends with it"
        )),
        Kind::Network => finding.warn(format!(
            "{move_it}: locks and syncs are only as good as the other side"
        )),
    }
}

fn judge_space(free: u64) -> Finding {
    let finding = Finding::ok(
        "free space",
        bytes(free),
        format!(">= {}", bytes(DISK_FREE_FEW_BYTES)),
    );
    let change = "free some, or move the data folder with --data: a full disk refuses every write";
    if free < DISK_FREE_BYTES_MIN {
        finding.fail(change)
    } else if free < DISK_FREE_FEW_BYTES {
        finding.warn(change)
    } else {
        finding
    }
}

fn judge_inodes(free: u64) -> Finding {
    let finding = Finding::ok(
        "free inodes",
        free.to_string(),
        format!(">= {DISK_INODES_MIN}"),
    );
    if free >= DISK_INODES_MIN {
        return finding;
    }
    finding.fail("remove small files (`df -i` shows where), or move the data folder with --data")
}

/// How long writing and syncing one block took, in microseconds, sorted.
fn measure(folder: &Path) -> io::Result<Vec<u64>> {
    let draft = tempfile::Builder::new()
        .prefix(".fanfare-doctor-")
        .tempfile_in(folder)?;
    let taken = sync_often(draft.as_file());
    draft.close()?;
    taken
}

fn sync_often(mut file: &File) -> io::Result<Vec<u64>> {
    let block = [0x5A; DISK_SYNC_BLOCK_BYTES];
    let end = Instant::now() + Duration::from_millis(DISK_SYNC_MS_MAX);
    let mut taken = Vec::with_capacity(DISK_SYNCS);
    // The first makes the file and is not counted.
    for round in 0..=DISK_SYNCS {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        if round > 0 {
            taken.push(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        if start >= end {
            break;
        }
    }
    taken.sort_unstable();
    Ok(taken)
}

fn judge_sync(taken: Vec<u64>, in_memory: bool) -> Finding {
    // Of 200, the second-longest is p99; of few, the longest.
    let median = taken.get(taken.len() / 2).copied().unwrap_or_default();
    let p99 = taken.get(taken.len().saturating_mul(99) / 100).copied();
    let p99 = p99.unwrap_or(median);
    let finding = Finding::ok(
        "disk sync",
        format!(
            "median {}, p99 {} of {}: {} lone appends a second",
            ms(median),
            ms(p99),
            taken.len(),
            1_000_000 / median.max(1)
        ),
        format!(
            "median <= {}, p99 <= {}; concurrent appends share a sync",
            ms(DISK_SYNC_MEDIAN_US_MAX),
            ms(DISK_SYNC_P99_US_MAX)
        ),
    );
    if median > DISK_SYNC_MEDIAN_US_MAX || p99 > DISK_SYNC_P99_US_MAX {
        return finding.warn(
            "put the data folder on a faster disk with --data (an SSD with power-loss protection \
             syncs in well under a millisecond), and see with `iostat -x 1` who else writes",
        );
    }
    if median < DISK_SYNC_FAST_US && !in_memory {
        return finding.warn(
            "faster than disks are: make sure that the sync is not ignored \
             (mount without nobarrier, VM disk cache not `unsafe`)",
        );
    }
    finding
}

fn not_writable(folder: &Path, error: &io::Error) -> Finding {
    let measured = format!("cannot write in {}: {error}", folder.display());
    let finding = Finding::ok("disk sync", measured, "a folder this user may write in");
    finding.fail(format!(
        "chown it to the server's user, `chown fanfare {}`",
        folder.display()
    ))
}

/// Microseconds as milliseconds.
fn ms(us: u64) -> String {
    format!("{:.2} ms", us as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn file_systems_are_told_apart() {
        for (number, name, verdict) in [
            (0xEF53, "ext4", Verdict::Ok),
            (0x9123_683E, "btrfs", Verdict::Ok),
            (0x1234, "0x1234", Verdict::Ok),
            (0x0102_1994, "tmpfs", Verdict::Fail),
            (0x794C_7630, "overlay", Verdict::Warn),
            (0x6969, "nfs", Verdict::Warn),
            (0xFF53_4D42, "cifs", Verdict::Warn),
        ] {
            let finding = judge_kind(number);
            assert_eq!(
                (finding.measured.as_str(), finding.verdict),
                (name, verdict)
            );
        }
    }

    #[test]
    fn space_and_inodes_run_out() {
        for (free, verdict) in [
            (DISK_FREE_FEW_BYTES, Verdict::Ok),
            (DISK_FREE_FEW_BYTES - 1, Verdict::Warn),
            (DISK_FREE_BYTES_MIN - 1, Verdict::Fail),
        ] {
            assert_eq!(judge_space(free).verdict, verdict, "{free}");
        }
        assert_eq!(judge_inodes(DISK_INODES_MIN).verdict, Verdict::Ok);
        assert_eq!(judge_inodes(DISK_INODES_MIN - 1).verdict, Verdict::Fail);
    }

    #[test]
    fn syncs_are_good_or_slow_or_too_good() {
        let (slow, late) = (DISK_SYNC_MEDIAN_US_MAX + 1, DISK_SYNC_P99_US_MAX + 1);
        for (taken, in_memory, verdict) in [
            (vec![500; 100], false, Verdict::Ok),
            (vec![slow; 100], false, Verdict::Warn),
            (
                [vec![500; 98], vec![late; 2]].concat(),
                false,
                Verdict::Warn,
            ),
            (
                [vec![500; 99], vec![late; 1]].concat(),
                false,
                Verdict::Warn,
            ),
            ([vec![500; 199], vec![late; 1]].concat(), false, Verdict::Ok),
            (vec![DISK_SYNC_FAST_US - 1; 100], false, Verdict::Warn),
            (vec![DISK_SYNC_FAST_US - 1; 100], true, Verdict::Ok),
        ] {
            let finding = judge_sync(taken, in_memory);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
        }
        let finding = judge_sync(vec![2000; 10], false);
        assert!(finding.measured.contains("500 lone appends"), "{finding:?}");
    }

    #[test]
    fn measuring_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!measure(folder.path()).unwrap().is_empty());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let missing = folder.path().join("a/b");
        assert_eq!(existing(&missing), Some(folder.path()));
        assert_eq!(existing(Path::new("not-there")), Some(Path::new(".")));
    }
}
