//! Times cases beside each other and prints a table. Samples of all cases
//! take turns, so that a busy machine disturbs each alike, and the ratio to
//! the first case is taken within each turn: it is what a reader may compare,
//! the times are not. CPU time is the whole process's, all threads together.

use std::fmt::Write as _;
use std::io::Write as _;

use rustix::time::{ClockId, clock_gettime};

/// A sample lasts at least this long, whole runs of its case.
const SAMPLE_NS: u64 = 20_000_000;
/// Turns.
const ROUNDS: usize = 21;

/// Cases that are told in one table.
pub struct Table<'a> {
    title: &'static str,
    cases: Vec<Case<'a>>,
}

struct Case<'a> {
    name: String,
    /// Of one run.
    operations: u64,
    run: Box<dyn FnMut() + 'a>,
}

/// Nanoseconds of one operation.
#[derive(Clone, Copy)]
struct Sample {
    wall: f64,
    cpu: f64,
}

impl<'a> Table<'a> {
    /// No case yet. The first one added is what the others are compared to.
    pub fn new(title: &'static str) -> Self {
        Self {
            title,
            cases: Vec::new(),
        }
    }

    /// `run` does `operations` operations each time it is called.
    #[must_use]
    pub fn case(
        mut self,
        name: impl Into<String>,
        operations: u64,
        run: impl FnMut() + 'a,
    ) -> Self {
        self.cases.push(Case {
            name: name.into(),
            operations,
            run: Box::new(run),
        });
        self
    }

    /// Times everything, then prints the table.
    pub fn print(mut self) {
        let runs: Vec<u64> = self.cases.iter_mut().map(Case::calibrate).collect();
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let cases = self.cases.iter_mut().zip(&runs);
            let round: Vec<Sample> = cases.map(|(case, runs)| case.sample(*runs)).collect();
            rounds.push(round);
        }
        let mut text = format!(
            "\n{:44} {:>12} {:>12} {:>8} {:>14} {:>9}\n",
            self.title, "ns", "CPU ns", "ratio", "quartiles", "CPU ratio"
        );
        for (at, case) in self.cases.iter().enumerate() {
            let [_, wall, _] = quartiles(&rounds, |round| round[at].wall);
            let [_, cpu, _] = quartiles(&rounds, |round| round[at].cpu);
            let [low, ratio, high] = quartiles(&rounds, |round| round[at].wall / round[0].wall);
            let [_, cpu_ratio, _] = quartiles(&rounds, |round| round[at].cpu / round[0].cpu);
            // A String takes everything.
            let _ = writeln!(
                text,
                "{:44} {wall:12.1} {cpu:12.1} {ratio:8.2} {:>14} {cpu_ratio:9.2}",
                case.name,
                format!("{low:.2} to {high:.2}"),
            );
        }
        // Whoever closed the pipe does not want it.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }
}

impl Case<'_> {
    /// How many runs make a sample; the first ones also warm up.
    fn calibrate(&mut self) -> u64 {
        let mut runs = 1;
        loop {
            let start = now_ns(ClockId::Monotonic);
            (0..runs).for_each(|_| (self.run)());
            let taken = now_ns(ClockId::Monotonic) - start;
            if taken >= SAMPLE_NS {
                return runs;
            }
            runs = (runs * SAMPLE_NS / taken.max(1) + 1).clamp(runs + 1, runs * 16);
        }
    }

    fn sample(&mut self, runs: u64) -> Sample {
        let clocks = [ClockId::Monotonic, ClockId::ProcessCPUTime];
        let start = clocks.map(now_ns);
        (0..runs).for_each(|_| (self.run)());
        let end = clocks.map(now_ns);
        let each = (runs * self.operations) as f64;
        Sample {
            wall: (end[0] - start[0]) as f64 / each,
            cpu: (end[1] - start[1]) as f64 / each,
        }
    }
}

fn now_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// The three quartiles of a number over all rounds.
fn quartiles(rounds: &[Vec<Sample>], number: impl Fn(&Vec<Sample>) -> f64) -> [f64; 3] {
    let mut numbers: Vec<f64> = rounds.iter().map(number).collect();
    numbers.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| numbers[(numbers.len() - 1) * quarter / 4])
}
