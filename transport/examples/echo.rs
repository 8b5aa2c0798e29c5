//! The echo server of the conformance tests as a program, for suites that
//! come from outside (`make autobahn`). Prints where it listens; ends with
//! its standard input.
#![expect(clippy::print_stdout, reason = "the address is what it is started for")]

#[path = "../tests/conformance/echo.rs"]
mod echo;

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let echo = echo::Echo::start(any_port, echo::large_limits())?;
    println!("ws://{}", echo.address);
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    end.await?.map(drop)
}
