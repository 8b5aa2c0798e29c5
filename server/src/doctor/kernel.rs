//! Numbers that the kernel tells in files of `/proc` and `/sys`.

use std::path::Path;

/// The whole numbers in a file like `/proc/sys/net/ipv4/tcp_rmem`, in order;
/// none if it cannot be read (another system, a container without it).
pub fn numbers(path: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let numbers = text.split_whitespace().map(|word| word.parse().ok());
    numbers.take_while(Option::is_some).flatten().collect()
}

/// The first number of such a file.
pub fn number(path: impl AsRef<Path>) -> Option<u64> {
    numbers(path.as_ref().to_str()?).first().copied()
}

/// A field of `/proc/meminfo` in bytes, given the file's text.
pub fn meminfo(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib = line.strip_prefix(':')?.trim().strip_suffix("kB")?;
    kib.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_meminfo_are_bytes() {
        let text = "MemTotal:       24684096 kB\nMemFree:  12 kB\nHugePages_Total:       0\n";
        for (field, bytes) in [
            ("MemFree", Some(12 * 1024)),
            ("Mem", None),
            ("HugePages_Total", None),
            ("Gone", None),
        ] {
            assert_eq!(meminfo(text, field), bytes, "{field}");
        }
    }
}
