//! `fanfare doctor` and what the server does about its own limits.

use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::harness::server::{binary, data_in, run};
use crate::harness::{Account, Server};

/// Runs it as JSON: whether it ended well, and what it found.
fn doctor(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, Value) {
    let arguments = [&["doctor", "--json"], arguments].concat();
    let (status, stdout, stderr) = run(&arguments, variables);
    let code = status.code().expect("an exit code");
    assert!(code <= 1 && stderr.is_empty(), "{code}: {stderr}");
    let report: Value = serde_json::from_str(&stdout).expect(&stdout);
    assert_eq!(code == 1, report["verdict"] == "fail", "{report:#}");
    (code == 0, report)
}

fn finding<'a>(report: &'a Value, check: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} in {report:#}"))
}

#[test]
fn everything_is_looked_at_and_each_fault_has_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_in(folder.path());
    let arguments = ["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let few = [("FANFARE_LIMITS__CONNECTIONS_MAX", "10")];
    let (_, report) = doctor(&arguments, &few);
    for check in [
        "open files",
        "net.core.somaxconn",
        "listen address",
        "memory",
        "file system",
        "free space",
        "disk sync",
        "clock source",
        "wall clock",
        "tcp_wmem",
    ] {
        finding(&report, check);
    }
    for found in report["findings"].as_array().unwrap() {
        assert_eq!(
            found["verdict"] == "ok",
            found["change"].is_null(),
            "{found}"
        );
    }
    assert_eq!(
        finding(&report, "open files")["verdict"],
        "ok",
        "{report:#}"
    );
    assert_eq!(finding(&report, "listen address")["verdict"], "ok");
    // Nothing was made, not even the data folder.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let many = [("FANFARE_LIMITS__CONNECTIONS_MAX", "4000000000")];
    let (well, report) = doctor(&arguments, &many);
    let files = finding(&report, "fs.nr_open");
    assert!(!well && files["verdict"] == "fail", "{report:#}");
    let change = files["change"].as_str().unwrap();
    assert!(change.starts_with("sysctl -w fs.nr_open=4000"), "{change}");
    let (status, table, _) = run(&[&["doctor"], arguments.as_slice()].concat(), &many);
    assert_eq!(status.code(), Some(1));
    assert!(
        table.contains(change) && table.contains("FAIL  fs.nr_open"),
        "{table}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_beside_the_server_of_the_same_data() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let data = server.data();
    let names = || -> Vec<_> {
        let entries = std::fs::read_dir(&data).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = names();
    let listen = server.address().to_string();
    let of_the_same = ["--listen", &listen, "--data", data.to_str().unwrap()];
    let (_, report) = doctor(&of_the_same, &[]);
    let address = finding(&report, "listen address");
    assert_eq!(address["verdict"], "ok", "{address}");
    let measured = address["measured"].as_str().unwrap();
    assert!(measured.contains("serves these data"), "{measured}");
    assert_eq!(names(), before);
    alice.say(&group, "still here").await;
}

#[test]
fn an_address_that_somebody_holds_is_named_with_its_holder() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = held.local_addr().unwrap().to_string();
    let (well, report) = doctor(&["--listen", &listen], &[]);
    let address = finding(&report, "listen address");
    assert!(!well && address["verdict"] == "fail", "{address}");
    let pid = format!("(pid {})", std::process::id());
    assert!(
        address["measured"].as_str().unwrap().contains(&pid),
        "{address}"
    );
}

/// Starts the server through a shell that sets the limits of open files, and
/// stops it once it says that it is ready. Gives its limit, soft, and its log.
fn started_with(soft: u32, hard: u32) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$@\"");
    let mut child = Command::new("/bin/sh")
        .env_clear()
        .args(["-c", &script, "sh", &binary(), "--listen", "127.0.0.1:0"])
        .args(["--log", "debug", "--data"])
        .arg(data_in(folder.path()))
        .env("FANFARE_LIMITS__CONNECTIONS_MAX", "2000")
        .stderr(std::fs::File::create(&log).unwrap())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.unwrap().split_whitespace().nth(3).unwrap().to_owned();
    (soft, std::fs::read_to_string(&log).unwrap())
}

#[test]
fn the_server_raises_its_limit_and_warns_where_that_is_not_enough() {
    let (soft, log) = started_with(256, 4000);
    assert_eq!(soft, "4000", "{log}");
    assert!(log.contains("raised the limit of open files"), "{log}");
    assert!(!log.contains("cannot be reached"), "{log}");
    let (soft, log) = started_with(300, 300);
    assert_eq!(soft, "300");
    assert!(
        log.contains("limits.connections_max cannot be reached"),
        "{log}"
    );
}
