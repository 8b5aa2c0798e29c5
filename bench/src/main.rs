//! `fanfare-bench`: loads a server from intended send times, checks every
//! delivery, and says what the server and the generator used. How to run it
//! and what each figure means: docs/benchmarking.md.
//!
//! Reading order: `scenario` (what is measured), `engine` (the generator),
//! `dialect` (what servers speak), `limit` (the yardstick), `measure`
//! (/proc), `row` and `table` (results).

mod args;
mod check;
mod dialect;
mod engine;
mod limit;
mod measure;
mod peer;
mod plan;
mod report;
mod row;
mod scenario;
mod schedule;
mod stage;
mod table;
mod trust;
mod validity;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::args::{Command, CommandLine, Load, Target};
use crate::row::Row;
use crate::scenario::{Idle, Saturate, Scenario, Slow, Steady, Storm, pairs, play};

fn main() -> ExitCode {
    match run(CommandLine::parse().command) {
        Ok(sound) if sound => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(2),
        Err(error) => {
            eprintln!("fanfare-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; whether no delivery was wrong.
fn run(command: Command) -> anyhow::Result<bool> {
    measure::raise_file_limit();
    match command {
        Command::Limit(wish) => limit::serve(&wish).map(|()| true),
        Command::Fanout(wish) => {
            let steady = Steady {
                name: "fanout",
                rooms: wish.rooms,
                members: wish.members,
                users: wish.rooms * wish.members,
                talking: wish.rooms,
                rate: wish.rate,
            };
            one(&steady, &wish.target, &wish.load)
        }
        Command::Rooms(wish) => {
            let steady = Steady {
                name: "rooms",
                rooms: wish.rooms,
                members: wish.members,
                users: wish.users.unwrap_or(wish.rooms * wish.members),
                talking: wish.talking.unwrap_or(wish.rooms).min(wish.rooms),
                rate: wish.rate,
            };
            one(&steady, &wish.target, &wish.load)
        }
        Command::Idle(wish) => {
            let idle = Idle {
                connections: wish.connections,
                subscriptions: wish.subscriptions,
                members: wish.members,
                settle_s: wish.settle,
            };
            one(&idle, &wish.target, &wish.load)
        }
        Command::Storm(wish) => {
            let storm = Storm {
                settled: wish.settled,
                comers: wish.connections,
                members: wish.members,
                rate: wish.rate,
                patience_s: wish.patience,
            };
            one(&storm, &wish.target, &wish.load)
        }
        Command::Saturate(wish) => {
            let saturate = Saturate {
                rooms: wish.rooms,
                members: wish.members,
                start: wish.start,
                factor: wish.factor,
                halvings: wish.halvings,
                beyond: wish.beyond,
            };
            one(&saturate, &wish.target, &wish.load)
        }
        Command::Slow(wish) => slow(&wish),
        Command::Report(wish) => report::write(&wish.results, &wish.page).map(|()| true),
    }
}

fn one(scenario: &impl Scenario, target: &Target, load: &Load) -> anyhow::Result<bool> {
    tell(&play(scenario, target, load)?, load)
}

/// Alternates between runs with and without those who hang.
fn slow(wish: &args::Slow) -> anyhow::Result<bool> {
    let run = |percent| {
        let slow = Slow {
            steady: Steady {
                name: "slow",
                rooms: wish.rooms,
                members: wish.members,
                users: wish.rooms * wish.members,
                talking: wish.rooms,
                rate: wish.rate,
            },
            percent,
        };
        play(&slow, &wish.target, &wish.load)
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..wish.pairs.max(1) {
        without.push(run(0)?);
        with.push(run(wish.percent)?);
    }
    let row = pairs(&with, &without).context("no pair was run")?;
    tell(&row, &wish.load)
}

/// Prints the result and appends it where it is wanted.
fn tell(row: &Row, load: &Load) -> anyhow::Result<bool> {
    write!(std::io::stdout(), "{}", table::text(row))?;
    if let Some(file) = &load.json {
        let mut out = std::fs::File::options()
            .create(true)
            .append(true)
            .open(file)
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut line = serde_json::to_string(row)?;
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    Ok(row.faults.is_empty())
}
