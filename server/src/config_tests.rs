//! Configuration: who overrides whom, and what is refused.

use std::collections::BTreeSet;

use tempfile::{TempDir, tempdir};

use super::*;

fn settings() -> Settings {
    Settings::default()
}

fn vars(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// A folder with a `fanfare.toml`.
fn folder(text: &str) -> TempDir {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), text).unwrap();
    folder
}

fn refused(settings: &Settings, variables: &[(&str, &str)], text: &str) -> String {
    let folder = folder(text);
    let error = Config::load(settings, vars(variables), folder.path());
    error.unwrap_err().to_string()
}

#[test]
fn without_anything_the_defaults_hold() {
    let empty = tempdir().unwrap();
    let other = vars(&[("PATH", "/bin"), ("FANFAREX_A", "1")]);
    let config = Config::load(&settings(), other, empty.path()).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
}

#[test]
fn flags_override_variables_override_the_file_overrides_defaults() {
    let file = folder(
        "listen = \"127.0.0.1:1\"\ndata = \"from-file\"\nrates = \"off\"\n\
         [log]\nlevel = \"warn\"\n[limits]\npage_max = 70\nedits_per_message_max = 7\n",
    );
    let variables = vars(&[
        ("FANFARE_LISTEN", "127.0.0.1:2"),
        ("FANFARE_LIMITS__PAGE_MAX", "80"),
        ("FANFARE_RATES", "on"),
        ("FANFARE_ORIGINS", "https://a.example, http://b.example:81"),
        ("FANFARE_LOG__FORMAT", "json"),
    ]);
    let flags = Settings {
        listen: Some("127.0.0.1:3".into()),
        rates: Some("off".into()),
        ..settings()
    };
    let config = Config::load(&flags, variables, file.path()).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.rates, Switch::Off);
    assert_eq!(config.data, PathBuf::from("from-file"));
    assert_eq!(config.origins, ["https://a.example", "http://b.example:81"]);
    assert_eq!(config.log.level, "warn");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.limits.page_max, 80);
    assert_eq!(config.limits.edits_per_message_max, 7);
    let others = Limits {
        page_max: 80,
        edits_per_message_max: 7,
        ..Limits::default()
    };
    assert_eq!(config.limits, others);
}

#[test]
fn the_file_can_be_named_by_flag_and_variable() {
    let here = folder("listen = \"127.0.0.1:1\"");
    let other = here.path().join("other.toml");
    std::fs::write(&other, "listen = \"127.0.0.1:9\"").unwrap();
    let named = other.display().to_string();
    let flag = Settings {
        config: Some(other),
        ..settings()
    };
    let by_flag = Config::load(
        &flag,
        vars(&[("FANFARE_CONFIG", "missing.toml")]),
        here.path(),
    );
    assert_eq!(by_flag.unwrap().listen.port(), 9);
    let variable = vars(&[("FANFARE_CONFIG", &named)]);
    let by_variable = Config::load(&settings(), variable, here.path());
    assert_eq!(by_variable.unwrap().listen.port(), 9);
    let missing = vars(&[("FANFARE_CONFIG", "missing.toml")]);
    let error = Config::load(&settings(), missing, here.path()).unwrap_err();
    assert!(error.to_string().contains("missing.toml"), "{error}");
}

#[test]
fn unknown_keys_are_refused_with_their_place() {
    for (text, key) in [
        ("lisen = \"127.0.0.1:1\"", "`lisen`"),
        ("config = \"x.toml\"", "`config`"),
        ("[limits]\npage_maximum = 7", "`limits.page_maximum`"),
        ("[log]\nlevle = \"info\"", "`log.levle`"),
        ("[limit]\npage_max = 7", "`limit`"),
    ] {
        let error = refused(&settings(), &[], text);
        assert!(error.starts_with("there is no setting"), "{error}");
        assert!(error.contains(key) && error.contains(FILE), "{error}");
    }
    for (name, key) in [
        ("FANFARE_LISEN", "`lisen`"),
        ("FANFARE_LIMITS__PAGE_MAXIMUM", "`limits.page_maximum`"),
        ("FANFARE_LIMITS", "`limits`"),
        ("FANFARE_LIMITS__PAGE_MAX__X", "`limits.page_max.x`"),
        ("FANFARE_", "``"),
    ] {
        let error = refused(&settings(), &[(name, "7")], "");
        assert!(error.contains(key) && error.contains(name), "{error}");
    }
}

#[test]
fn wrong_values_are_refused_with_key_and_place() {
    for (text, key) in [
        ("listen = \"localhost\"", "`listen`"),
        ("listen = 8080", "`listen`"),
        ("rates = \"maybe\"", "`rates`"),
        ("limits = 7", "`limits`"),
        ("[limits]\npage_max = \"many\"", "`limits.page_max`"),
        ("[limits]\npage_max = -1", "`limits.page_max`"),
    ] {
        let error = refused(&settings(), &[], text);
        assert!(error.contains(key) && error.contains(FILE), "{error}");
    }
    let error = refused(&settings(), &[("FANFARE_LIMITS__PAGE_MAX", "many")], "");
    assert!(error.contains("FANFARE_LIMITS__PAGE_MAX"), "{error}");
    let flag = Settings {
        listen: Some("nowhere".into()),
        ..settings()
    };
    assert!(refused(&flag, &[], "").contains("(--listen)"));
    let error = refused(&settings(), &[], "rates = \"on\"\nlisten = ");
    assert!(error.contains(FILE) && error.contains("line 2"), "{error}");
}

#[test]
fn values_that_do_not_fit_are_refused() {
    for (name, value, why) in [
        ("FANFARE_STORE", "cql", "not built into this version"),
        ("FANFARE_CQL_NODES", "a,b", "only for store"),
        ("FANFARE_TRUSTED_PROXIES", "10.0.0.0/33", "no network"),
        ("FANFARE_ORIGINS", "chat.example.org", "no origin"),
        ("FANFARE_ORIGINS", "https://a.example/chat", "no origin"),
        ("FANFARE_LOG__LEVEL", "verbose", "none of error"),
        ("FANFARE_LIMITS__HEARTBEAT_MS", "0", "must not be 0"),
        ("FANFARE_LIMITS__PAGE_DEFAULT", "101", "limits.page_max"),
    ] {
        let error = refused(&settings(), &[(name, value)], "");
        assert!(error.contains(why), "{error}");
    }
    let zero = vars(&[("FANFARE_LIMITS__MEMBERSHIP_GATHER_MS", "0")]);
    Config::load(&settings(), zero, tempdir().unwrap().path()).unwrap();
    let proxies = vars(&[("FANFARE_TRUSTED_PROXIES", "10.0.0.0/8,::1")]);
    let config = Config::load(&settings(), proxies, tempdir().unwrap().path()).unwrap();
    assert_eq!(config.trusted_networks().unwrap().len(), 2);
}

#[test]
fn what_is_printed_reads_back_and_holds_no_secret() {
    let variables = vars(&[
        ("FANFARE_LISTEN", "127.0.0.1:7"),
        ("FANFARE_LIMITS__PAGE_MAX", "77"),
    ]);
    let folder = tempdir().unwrap();
    let config = Config::load(&settings(), variables, folder.path()).unwrap();
    let printed = config.to_toml().unwrap();
    std::fs::write(folder.path().join(FILE), &printed).unwrap();
    let again = Config::load(&settings(), Vec::new(), folder.path()).unwrap();
    assert_eq!(again, config);
    let secret = Config {
        cql_nodes: vec!["user:hunter2@node-1:9042".into()],
        origins: vec!["https://user:hunter2@a.example".into()],
        ..config
    };
    let printed = secret.to_toml().unwrap();
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("…@node-1:9042") && printed.contains("https://…@a.example"));
}

/// Every key stands in `docs/configuration.md` with its default, and nothing
/// else does.
#[test]
fn the_page_describes_every_key() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let key = cells.next()?.trim().trim_end_matches('`').to_owned();
        let default = cells.next()?.trim().trim_matches('`').to_owned();
        Some((key, default))
    });
    let described: BTreeSet<(String, String)> = rows.collect();
    let mut existing = BTreeSet::new();
    collect(&known().unwrap(), "", &mut existing);
    let missing: Vec<_> = existing.difference(&described).collect();
    let surplus: Vec<_> = described.difference(&existing).collect();
    assert!(missing.is_empty(), "not described: {missing:#?}");
    assert!(surplus.is_empty(), "no such key or default: {surplus:#?}");
}

fn collect(dict: &Dict, above: &str, keys: &mut BTreeSet<(String, String)>) {
    for (name, value) in dict {
        let key = format!("{above}{name}");
        let default = match value {
            Value::Dict(_, dict) => {
                collect(dict, &format!("{key}."), keys);
                continue;
            }
            Value::String(_, text) => text.clone(),
            Value::Array(..) => "none".to_owned(),
            number => number.to_u128().unwrap().to_string(),
        };
        keys.insert((key, default));
    }
}
