//! The `fanfare` binary: reads the configuration, wires the parts, starts
//! and stops them. No rules live here.

mod args;
mod backup;
mod config;
mod control;
mod doctor;
mod keys;
mod migrate;
mod open;
mod progress;
mod restore;
mod seed;
mod serve;
mod store;
mod telemetry;
mod tls;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Parser as _;

use args::{Command, CommandLine, StoreCommand};
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
        Command::Backup { to } => runtime()?.block_on(backup::backup(&loaded.config, to))?,
        Command::Store(StoreCommand::Check(wish)) => {
            let (configured, options) = store::configured(&loaded.config)?;
            let location = wish.at.clone().unwrap_or(configured);
            return runtime()?.block_on(store::check(&location, options, wish));
        }
        Command::Store(StoreCommand::Copy { from, to }) => {
            let (_, options) = store::configured(&loaded.config)?;
            runtime()?.block_on(store::copy(from, to, options))?;
        }
        Command::Restore { from } => restore::restore(&loaded.config, from)?,
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
