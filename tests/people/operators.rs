//! What operators see: start, stop, configuration, seed, health, metrics.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::server::{data_in, run};
use crate::harness::{Account, Options, Server, Socket, new_key};
use crate::replay::seed;

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_tells_everybody_and_ends_well() {
    let server = Options::new().port_kept().start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let socket = alice.connect(&server).await;
    let said = socket.say(&group, "just before the end").await.unwrap();
    server.ask_to_stop();
    let reconnect = socket
        .event("session:reconnect", |event| {
            event.kind == "session:reconnect"
        })
        .await;
    assert!(reconnect.data["delayMs"].is_u64(), "{reconnect:?}");
    assert_eq!(socket.close_code().await, 1012);
    let status = server.ended().await;
    assert!(status.success(), "{status}: {}", server.log());
    server.restart().await;
    assert_eq!(alice.history(&group).await, [said]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_data_is_refused() {
    let server = Server::start().await;
    let data = server.data();
    let (status, stdout, stderr) = run(
        &["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()],
        &[],
    );
    assert!(!status.success(), "{stdout}");
    let said = stderr.to_lowercase();
    assert!(
        said.contains("another") || said.contains("in use") || said.contains("lock"),
        "{stderr}"
    );
    assert!(!said.contains("panicked"), "{stderr}");
    assert_eq!(
        server
            .rest()
            .try_raw("GET", "/livez", &[], None)
            .await
            .unwrap()
            .status,
        200
    );
    let out = data.join("../seed.jsonl");
    let seeding = [
        "seed",
        "--users",
        "1",
        "--conversations",
        "1",
        "--members",
        "1",
        "--out",
        out.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ];
    let (status, _, stderr) = run(&seeding, &[]);
    assert!(
        !status.success() && !stderr.contains("panicked"),
        "{stderr}"
    );
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_once_and_are_the_owners_alone() {
    let server = Options::new().port_kept().start().await;
    let alice = Account::register(&server, "alice").await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let secrets: Vec<PathBuf> = files(&server.data())
        .into_iter()
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().to_lowercase();
            name.contains("key") || name.contains("secret")
        })
        .collect();
    assert!(!secrets.is_empty(), "{:?}", files(&server.data()));
    for secret in &secrets {
        assert_eq!(mode(secret), 0o600, "{}", secret.display());
    }
    server.terminate().await;
    server.restart().await;
    alice
        .rest
        .get("/users/me")
        .await
        .expect("its token is still good");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_newer_version_are_refused_and_left_alone() {
    let server = Server::start().await;
    server.terminate().await;
    let data = server.data();
    let mark = files(&data)
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name == "format"))
        .expect("a file that says the format");
    let text = std::fs::read_to_string(&mark).unwrap();
    let newer = text
        .trim_end()
        .trim_end_matches(|letter: char| letter.is_ascii_digit())
        .to_owned()
        + "99\n";
    std::fs::write(&mark, &newer).unwrap();
    let (status, stdout, stderr) = run(
        &["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()],
        &[],
    );
    assert!(!status.success(), "{stdout}");
    assert!(
        stderr.contains("newer") && !stderr.contains("panicked"),
        "{stderr}"
    );
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), newer);
    std::fs::write(&mark, text).unwrap();
    server.restart().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_served() {
    let server = Server::start().await;
    let get = async |path: &str| server.rest().try_raw("GET", path, &[], None).await.unwrap();
    assert_eq!(
        (get("/livez").await.status, get("/readyz").await.status),
        (200, 200)
    );
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let _socket = alice.connect(&server).await;
    alice.say(&group, "a CANARY for the metrics").await;
    let metrics = get("/metrics").await;
    assert_eq!(metrics.status, 200);
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("# TYPE fanfare_"), "{metrics}");
    for secret in ["CANARY", &alice.access, &alice.refresh, &alice.username] {
        assert!(
            !metrics.contains(secret) && !server.log().contains(secret),
            "{secret}"
        );
    }
    assert_eq!(get("/nothing-here").await.status, 404);
    for expected in ["/api/v1", "/ws", "/livez", "SIGTERM"] {
        server.says(expected).await;
    }
}

/// `fanfare config` with a file, variables and flags.
fn config(
    file: Option<&str>,
    variables: &[(&str, &str)],
    flags: &[&str],
) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fanfare.toml");
    let mut arguments = vec!["config"];
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
        arguments.extend(["--config", path.to_str().unwrap()]);
    }
    arguments.extend(flags);
    let (status, stdout, stderr) = run(&arguments, variables);
    if status.success() {
        Ok(stdout)
    } else {
        Err(stderr)
    }
}

#[test]
fn flags_go_before_variables_before_the_file() {
    let file = Some("listen = \"127.0.0.1:1001\"\nrates = \"off\"\n[limits]\npage_default = 33\n");
    let variable = [("FANFARE_LISTEN", "127.0.0.1:1002")];
    let shown = config(file, &[], &[]).unwrap();
    assert!(
        shown.contains("127.0.0.1:1001") && shown.contains("33"),
        "{shown}"
    );
    let shown = config(file, &variable, &[]).unwrap();
    assert!(
        shown.contains("127.0.0.1:1002") && !shown.contains("1001"),
        "{shown}"
    );
    let shown = config(file, &variable, &["--listen", "127.0.0.1:1003"]).unwrap();
    assert!(
        shown.contains("127.0.0.1:1003") && !shown.contains("1002") && shown.contains("off"),
        "{shown}"
    );
    let shown = config(None, &[], &[]).unwrap();
    assert!(shown.contains("127.0.0.1:8080"), "the default: {shown}");
    let mixed = config(file, &[("FANFARE_DATA", "there")], &["--store", "embedded"]).unwrap();
    for (setting, place) in [
        ("listen", "fanfare.toml"),
        ("data", "environment variable FANFARE_DATA"),
        ("store", "flag --store"),
        ("origins", "default"),
        ("page_default", "fanfare.toml"),
    ] {
        let start = format!("{setting} = ");
        let line = mixed.lines().find(|line| line.starts_with(&start));
        assert!(line.unwrap().ends_with(place), "{setting}: {mixed}");
    }
}

#[test]
fn unknown_keys_and_wrong_values_are_refused_by_name() {
    for (file, named) in [
        ("lisen = \"127.0.0.1:1001\"\n", "lisen"),
        (
            "[limits]\nmessage_text_bytes_maxx = 1\n",
            "message_text_bytes_maxx",
        ),
        ("listen = \"here\"\n", "listen"),
        ("rates = \"sometimes\"\n", "rates"),
        ("store = \"paper\"\n", "store"),
    ] {
        let refused = config(Some(file), &[], &[]).expect_err(file);
        assert!(
            refused.contains(named) && !refused.contains("panicked"),
            "{file}: {refused}"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fanfare.toml");
        std::fs::write(&path, file).unwrap();
        let data = data_in(folder.path());
        let (status, _, stderr) = run(
            &[
                "--config",
                path.to_str().unwrap(),
                "--data",
                data.to_str().unwrap(),
            ],
            &[],
        );
        assert!(
            !status.success() && stderr.contains(named),
            "{file}: {stderr}"
        );
    }
    let refused =
        config(None, &[("FANFARE_LISEN", "127.0.0.1:1")], &[]).expect_err("an unknown variable");
    assert!(
        refused.contains("FANFARE_LISEN") && refused.contains("did you mean FANFARE_LISTEN?"),
        "{refused}"
    );
    assert!(config(Some("# only a comment\n"), &[], &[]).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn seeded_people_can_talk_at_once() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let lines = seed(&data_in(folder.path()), 1, &[]);
    assert_eq!(lines.len(), 1);
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let out = folder.path().join("out.jsonl");
    let data = data_in(folder.path());
    let arguments = [
        "seed",
        "--users",
        "5",
        "--conversations",
        "2",
        "--members",
        "3",
        "--out",
        out.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ];
    let (status, _, stderr) = run(&arguments, &[]);
    assert!(status.success(), "{stderr}");
    let lines: Vec<Value> = std::fs::read_to_string(&out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 5);
    let mode = std::fs::metadata(&out).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "its tokens are for nobody else");
    let server = Options::new().start_on(folder).await;
    let people: Vec<Account> = lines
        .iter()
        .map(|line| Account::of_seed(&server, line))
        .collect();
    // Conversation c has the users 3c … 3c + 2, modulo 5, the first its owner.
    let members = [vec![0, 1, 2], vec![3, 4, 0]];
    let conversation = |number: usize| {
        lines[members[number][0]]["conversations"]
            .as_array()
            .unwrap()
            .iter()
            .find(|id| {
                let id: &Value = id;
                members[number].iter().all(|&member| {
                    lines[member]["conversations"]
                        .as_array()
                        .unwrap()
                        .contains(id)
                })
            })
    };
    for (number, members) in members.iter().enumerate() {
        let id = conversation(number).unwrap().as_str().unwrap();
        let owner = people[members[0]].conversation(id).await;
        assert_eq!(
            (&owner["me"]["role"], &owner["memberCount"]),
            (&json!("owner"), &json!(3))
        );
        let listening = people[members[1]].connect(&server).await;
        let talking = people[members[2]].connect(&server).await;
        let said = talking.say(id, "hello from the seed").await.unwrap();
        listening.reaches(id, said["seq"].as_u64().unwrap()).await;
    }
    assert_eq!(
        people[1].rest.get("/conversations").await.unwrap()["data"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_any_end() {
    let server = Options::new().port_kept().start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let mut said = Vec::new();
    for round in 0..6 {
        let socket = Socket::open(server.address(), &alice.access, json!([]))
            .await
            .unwrap();
        said.push(socket.say(&group, &format!("round {round}")).await.unwrap());
        if round % 2 == 0 {
            server.kill9();
        } else {
            server.terminate().await;
        }
        server.restart().await;
        assert_eq!(bob.history(&group).await, said, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_ends_acknowledgements_and_not_the_server() {
    let options = Options::new().port_kept().disk_may_fail();
    let server = options.limit("append_ms_max", 500).start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let socket = alice.connect(&server).await;
    let said = alice.say(&group, "in time").await;

    // From now on nothing can be written, neither data nor log.
    server.fail_disk();
    let mut unknown = Vec::new();
    for text in ["too late", "later still"] {
        let over_rest = alice
            .say_as(&group, &new_key(), json!({"text": text}))
            .await;
        for refused in [over_rest, socket.say(&group, text).await] {
            let refused = refused.expect_err("nothing is acknowledged any more");
            if refused.code == "outcome_unknown" {
                unknown.push(text);
            } else {
                assert_eq!(refused.code, "unavailable", "{refused:?}");
            }
        }
    }
    let get = async |path: &str| server.rest().try_raw("GET", path, &[], None).await.unwrap();
    let unready = get("/readyz").await;
    assert_eq!(
        (unready.status, &unready.json()["error"]["code"]),
        (503, &json!("unavailable"))
    );
    assert_eq!(get("/livez").await.status, 200);
    assert_eq!(alice.history(&group).await, std::slice::from_ref(&said));
    server.terminate().await;

    // What may have happened did or did not; what was said in time is there.
    server.restart().await;
    let history = alice.history(&group).await;
    assert_eq!(history[0], said);
    for message in &history[1..] {
        let text = message["text"].as_str().unwrap();
        assert!(unknown.contains(&text), "{message}");
    }
}
