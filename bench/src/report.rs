//! Results as the table of docs/performance.md: servers down, columns across,
//! the median of the repeats and how far they were apart. Only the newest
//! machine and commit of the file are told; what was measured on others is
//! not comparable.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::row::Row;
use crate::scenario::median;

/// Where the table stands on the page.
const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// One column: its title, and the figure of a row that belongs there.
type Column = (&'static str, fn(&Row) -> Option<f64>);

const COLUMNS: [Column; 7] = [
    ("µs CPU/delivery, 1 × 1000", |row| {
        of(row, "fanout", "1 x 1000 at").then(|| row.cpu_us_per_delivery())?
    }),
    ("1 × 5000", |row| {
        of(row, "fanout", "1 x 5000 at").then(|| row.cpu_us_per_delivery())?
    }),
    ("M deliveries/s sustained, 1 × 1000", |row| {
        of(row, "saturate", "1 x 1000").then(|| row.deliveries_per_s() / 1e6)
    }),
    ("µs CPU there", |row| {
        of(row, "saturate", "1 x 1000").then(|| row.cpu_us_per_delivery())?
    }),
    ("µs CPU/delivery, 500 × 10", |row| {
        of(row, "rooms", "500 x 10 at").then(|| row.cpu_us_per_delivery())?
    }),
    ("KiB per idle connection", |row| {
        of(row, "idle", "").then(|| row.figures.get("kib_per_connection").copied())?
    }),
    ("CPU ms per connect", |row| {
        of(row, "idle", "").then(|| row.figures.get("cpu_ms_per_connect").copied())?
    }),
];

fn of(row: &Row, scenario: &str, size: &str) -> bool {
    row.scenario == scenario && row.size.starts_with(size)
}

/// Puts the table of the results in `file` between the marks on `page`.
///
/// # Errors
/// A file that cannot be read or written, no results, no marks.
pub fn write(file: &Path, page: &Path) -> anyhow::Result<()> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let rows: Vec<Row> = (read(file)?.lines())
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} holds no results", file.display()))?;
    let text = between_marks(&read(page)?, &table(&rows)?)
        .with_context(|| format!("{} lacks {BEGIN} or {END}", page.display()))?;
    std::fs::write(page, text).with_context(|| format!("cannot write {}", page.display()))
}

fn between_marks(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

/// The table of the newest machine and commit.
fn table(all: &[Row]) -> anyhow::Result<String> {
    let Some(newest) = all.last() else {
        bail!("there are no results yet");
    };
    let rows: Vec<&Row> = all
        .iter()
        .filter(|row| row.machine == newest.machine)
        .collect();
    let machine = &newest.machine;
    let mut text = format!(
        "{}, {} cores, Linux {}; commit {}\n\n| server |",
        machine.cpu, machine.cores, machine.kernel, machine.commit
    );
    for (title, _) in COLUMNS {
        let _ = write!(text, " {title} |");
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(COLUMNS.len()));
    text.push('\n');
    let mut servers: Vec<&str> = Vec::new();
    for row in &rows {
        if !servers.contains(&row.server.as_str()) {
            servers.push(&row.server);
        }
    }
    for server in servers {
        let mine = || rows.iter().filter(|row| row.server == server);
        let version = mine()
            .map(|row| row.version.as_str())
            .find(|v| !v.is_empty());
        let _ = write!(text, "| {server} {} |", version.unwrap_or_default());
        for (_, figure) in COLUMNS {
            let measured: Vec<&&Row> = mine().filter(|row| figure(row).is_some()).collect();
            let _ = write!(text, " {} |", cell(&measured, figure));
        }
        text.push('\n');
    }
    text.push_str(
        "\nMedian (lowest–highest). `!`: runs that were invalid, left out; `✗`: runs with wrong deliveries.\n",
    );
    Ok(text)
}

fn cell(rows: &[&&Row], figure: fn(&Row) -> Option<f64>) -> String {
    if rows.is_empty() {
        return "–".into();
    }
    let valid: Vec<f64> = (rows.iter())
        .filter(|row| row.invalid.is_empty())
        .filter_map(|row| figure(row))
        .collect();
    let lowest = valid.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = valid.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut text = match valid.len() {
        0 => "none valid".into(),
        1 => short(lowest),
        _ => format!(
            "{} ({}–{})",
            short(median(valid.clone())),
            short(lowest),
            short(highest)
        ),
    };
    let invalid = rows.len() - valid.len();
    let wrong = rows.iter().filter(|row| !row.faults.is_empty()).count();
    for (count, mark) in [(invalid, '!'), (wrong, '✗')] {
        if count > 0 {
            let _ = write!(text, " {count}{mark}");
        }
    }
    text
}

/// Three digits that say something.
fn short(value: f64) -> String {
    match value.abs() {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Fault, Seen};
    use crate::measure::{Machine, Usage};

    fn row(server: &str, cpu_s: f64, commit: &str) -> Row {
        Row {
            scenario: "fanout".into(),
            size: "1 x 1000 at 20/s".into(),
            server: server.into(),
            deliveries: 1_000_000,
            usage: Some(Usage {
                user_s: cpu_s,
                ..Usage::default()
            }),
            machine: Machine {
                commit: commit.into(),
                ..Machine::default()
            },
            ..Row::default()
        }
    }

    #[test]
    fn medians_and_spread_of_the_newest_commit() {
        let all = [
            row("fanfare", 99.0, "old"),
            row("fanfare", 4.0, "new"),
            row("limit", 3.0, "new"),
            row("fanfare", 6.0, "new"),
            row("fanfare", 5.0, "new"),
        ];
        let table = table(&all).unwrap();
        assert!(
            table.contains("| fanfare  | 5.00 (4.00–6.00) | – |"),
            "{table}"
        );
        assert!(table.contains("| limit  | 3.00 | – |"), "{table}");
    }

    #[test]
    fn invalid_and_wrong_runs_are_seen() {
        let mut invalid = row("fanfare", 50.0, "c");
        invalid.invalid.push("late".into());
        let mut wrong = row("fanfare", 7.0, "c");
        wrong.faults.insert(Fault::Lost, Seen::default());
        let table = table(&[invalid, wrong]).unwrap();
        assert!(table.contains("| 7.00 1! 1✗ |"), "{table}");
    }

    #[test]
    fn only_what_stands_between_the_marks_changes() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nbehind\n");
        let expected = format!("before\n{BEGIN}\nnew\n{END}\nbehind\n");
        assert_eq!(between_marks(&page, "new\n"), Some(expected));
        assert_eq!(between_marks("no marks", "new\n"), None);
    }
}
