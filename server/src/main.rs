//! The `fanfare` binary: reads the configuration, wires the parts, starts
//! and stops them. No rules live here.

mod args;
mod config;
mod doctor;
mod keys;
mod migrate;
mod open;
mod seed;
mod serve;
mod telemetry;
mod tls;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Parser as _;

use args::{Command, CommandLine};
use config::Loaded;

/// Gives back what sessions that fell asleep and storms leave behind: 9 KiB
/// resident for an idle connection, where the C library keeps 17.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(&CommandLine::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing can be done where even stderr is gone.
            writeln!(std::io::stderr(), "fanfare: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked. False: done, and the answer is no.
fn run(line: &CommandLine) -> anyhow::Result<bool> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        Some((
            name.into_string().ok()?,
            value.to_string_lossy().into_owned(),
        ))
    });
    let folder = std::env::current_dir().context("cannot tell the current folder")?;
    let loaded = Loaded::load(&line.settings, variables, &folder)?;
    telemetry::log(&loaded.config.log).map_err(|error| anyhow!(error))?;
    match line.command.as_ref().unwrap_or(&Command::Serve) {
        Command::Config => {
            let text = loaded.to_toml()?;
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes())
                .context("cannot print the configuration")?;
        }
        Command::Doctor { json } => return doctor::doctor(&loaded.config, *json),
        Command::Serve => runtime()?.block_on(serve::serve(loaded.config))?,
        Command::Migrate { check } => {
            return runtime()?.block_on(migrate::migrate(&loaded.config, *check));
        }
        Command::Seed(wish) => runtime()?.block_on(seed::seed(&loaded.config, wish))?,
    }
    Ok(true)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}
