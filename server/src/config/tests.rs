//! Configuration: who overrides whom, and what is refused.

use std::collections::BTreeSet;

use figment::value::Dict;
use tempfile::{TempDir, tempdir};

use super::*;

/// What is in effect.
fn load(
    settings: &Settings,
    variables: Vec<(String, String)>,
    folder: &Path,
) -> Result<Config, ConfigError> {
    Loaded::load(settings, variables, folder).map(|loaded| loaded.config)
}

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
    let error = load(settings, vars(variables), folder.path());
    error.unwrap_err().to_string()
}

#[test]
fn without_anything_the_defaults_hold() {
    let empty = tempdir().unwrap();
    let other = vars(&[("PATH", "/bin"), ("FANFAREX_A", "1")]);
    let config = load(&settings(), other, empty.path()).unwrap();
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
    let config = load(&flags, variables, file.path()).unwrap();
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
    let by_flag = load(
        &flag,
        vars(&[("FANFARE_CONFIG", "missing.toml")]),
        here.path(),
    );
    assert_eq!(by_flag.unwrap().listen.port(), 9);
    let variable = vars(&[("FANFARE_CONFIG", &named)]);
    let by_variable = load(&settings(), variable, here.path());
    assert_eq!(by_variable.unwrap().listen.port(), 9);
    let missing = vars(&[("FANFARE_CONFIG", "missing.toml")]);
    let error = load(&settings(), missing, here.path()).unwrap_err();
    assert!(error.to_string().contains("missing.toml"), "{error}");
}

#[test]
fn unknown_keys_are_refused_with_their_place_and_what_was_meant() {
    for (text, key, meant) in [
        ("lisen = \"127.0.0.1:1\"", "lisen", Some("listen")),
        ("config = \"x.toml\"", "config", None),
        (
            "[limits]\npage_maxx = 7",
            "limits.page_maxx",
            Some("limits.page_max"),
        ),
        ("[limits]\nmax_page = 7", "limits.max_page", None),
        ("[log]\nlevle = \"info\"", "log.levle", Some("log.level")),
        (
            "[limit]\npage_max = 7",
            "limit.page_max",
            Some("limits.page_max"),
        ),
        ("page_max = 7", "page_max", Some("limits.page_max")),
        ("[limit]", "limit", None),
    ] {
        let error = refused(&settings(), &[], text);
        assert!(
            error.contains(&format!("there is no setting `{key}` (file ")),
            "{error}"
        );
        assert!(error.contains(FILE), "{error}");
        match meant {
            Some(meant) => assert!(
                error.contains(&format!("; did you mean `{meant}`?")),
                "{error}"
            ),
            None => assert!(!error.contains("did you mean"), "{error}"),
        }
    }
    for (name, key, meant) in [
        ("FANFARE_LISEN", "lisen", Some("FANFARE_LISTEN")),
        (
            "FANFARE_LIMITS__PAGE_MAXX",
            "limits.page_maxx",
            Some("FANFARE_LIMITS__PAGE_MAX"),
        ),
        (
            "FANFARE_LIMITS_PAGE_MAX",
            "limits_page_max",
            Some("FANFARE_LIMITS__PAGE_MAX"),
        ),
        (
            "FANFARE_PAGE_MAX",
            "page_max",
            Some("FANFARE_LIMITS__PAGE_MAX"),
        ),
        ("FANFARE_LIMITS", "limits", None),
        (
            "FANFARE_LIMITS__PAGE_MAX__X",
            "limits.page_max.x",
            Some("FANFARE_LIMITS__PAGE_MAX"),
        ),
        ("FANFARE_", "", None),
    ] {
        let error = refused(&settings(), &[(name, "7")], "");
        let said = format!("there is no setting `{key}` (environment variable {name})");
        assert!(error.contains(&said), "{error}");
        match meant {
            Some(meant) => assert!(
                error.contains(&format!("; did you mean {meant}?")),
                "{error}"
            ),
            None => assert!(!error.contains("did you mean"), "{error}"),
        }
    }
}

#[test]
fn all_unknown_keys_are_named_at_once() {
    let variables = [("FANFARE_DATTA", "x"), ("FANFARE_LIMITS__PAGE_MAX", "many")];
    let error = refused(
        &settings(),
        &variables,
        "lisen = 1\n[log]\nlevle = 2\nfromat = 3",
    );
    let named: Vec<&str> = error.split('`').skip(1).step_by(2).collect();
    let file = [
        "lisen",
        "listen",
        "log.fromat",
        "log.format",
        "log.levle",
        "log.level",
    ];
    assert_eq!(named, [file.as_slice(), &["datta"]].concat());
    assert_eq!(error.lines().count(), 5, "{error}");
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
    assert!(refused(&flag, &[], "").contains("(flag --listen)"));
    let error = refused(&settings(), &[], "rates = \"on\"\nlisten = ");
    assert!(error.contains(FILE) && error.contains("line 2"), "{error}");
}

#[test]
fn values_that_do_not_fit_are_refused() {
    for (name, value, why) in [
        ("FANFARE_STORE", "cql", "`cql_nodes` is wrong: is missing"),
        ("FANFARE_CQL_NODES", "a,b", "only for store"),
        (
            "FANFARE_TLS_CERT",
            "cert.pem",
            "`tls_key` is wrong: is missing",
        ),
        (
            "FANFARE_TLS_KEY",
            "key.pem",
            "`tls_cert` is wrong: is missing",
        ),
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
    load(&settings(), zero, tempdir().unwrap().path()).unwrap();
    let proxies = vars(&[("FANFARE_TRUSTED_PROXIES", "10.0.0.0/8,::1")]);
    let config = load(&settings(), proxies, tempdir().unwrap().path()).unwrap();
    assert_eq!(config.trusted_networks().unwrap().len(), 2);
}

fn printed(config: Config) -> String {
    let places = BTreeMap::new();
    Loaded { config, places }.to_toml().unwrap()
}

/// Prints, reads what was printed, and expects the same again.
fn read_back(loaded: &Loaded) -> String {
    let printed = loaded.to_toml().unwrap();
    let folder = folder(&printed);
    let again = load(&settings(), Vec::new(), folder.path()).unwrap();
    assert_eq!(again, loaded.config, "{printed}");
    printed
}

/// The line of a setting, without the spaces before its comment.
fn line<'a>(printed: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("{name} = ");
    let line = printed
        .lines()
        .find(|line| line.starts_with(&start))
        .unwrap();
    line.split('#').map(str::trim).collect()
}

#[test]
fn every_setting_is_printed_with_its_place() {
    let file = folder(
        "listen = \"127.0.0.1:1\"\ndata = \"here\"\nrates = \"off\"\n\
         [log]\nlevel = \"warn\"\n[limits]\npage_max = 70\npage_default = 7\n",
    );
    let variables = vars(&[
        ("FANFARE_LISTEN", "127.0.0.1:2"),
        ("FANFARE_DATA", "there"),
        ("FANFARE_LIMITS__PAGE_MAX", "80"),
        ("FANFARE_ORIGINS", "https://a.example"),
    ]);
    let flags = Settings {
        listen: Some("127.0.0.1:3".into()),
        log_format: Some("json".into()),
        ..settings()
    };
    let loaded = Loaded::load(&flags, variables, file.path()).unwrap();
    let printed = read_back(&loaded);
    let from_file = format!("file {}", file.path().join(FILE).display());
    for (name, value, place) in [
        ("listen", "\"127.0.0.1:3\"", "flag --listen"),
        ("data", "\"there\"", "environment variable FANFARE_DATA"),
        ("rates", "\"off\"", &from_file),
        ("store", "\"embedded\"", "default"),
        ("cql_nodes", "[]", "default"),
        (
            "origins",
            "[\"https://a.example\"]",
            "environment variable FANFARE_ORIGINS",
        ),
        ("level", "\"warn\"", &from_file),
        ("format", "\"json\"", "flag --log-format"),
        (
            "page_max",
            "80",
            "environment variable FANFARE_LIMITS__PAGE_MAX",
        ),
        ("page_default", "7", &from_file),
        ("edits_per_message_max", "100", "default"),
    ] {
        assert_eq!(line(&printed, name), [&format!("{name} = {value}"), place]);
    }
    // Nothing stands there without its place.
    let settings = printed.lines().filter(|line| line.contains(" = "));
    assert!(settings.clone().count() > 80);
    settings.for_each(|line| assert!(line.contains(" # "), "{line}"));
}

#[test]
fn odd_texts_and_paths_read_back_with_their_places() {
    let folder = tempdir().unwrap();
    let odd = folder.path().join("a\nlisten = 1.toml");
    std::fs::write(&odd, "rates = \"off\"").unwrap();
    let flags = Settings {
        config: Some(odd),
        data: Some("a # b\nlisten = \"x\"\n'end\"\"".into()),
        ..settings()
    };
    let printed = read_back(&Loaded::load(&flags, Vec::new(), folder.path()).unwrap());
    assert!(printed.contains("# flag --data\n"), "{printed}");
}

#[test]
fn what_is_printed_reads_back_and_holds_no_secret() {
    let variables = vars(&[
        ("FANFARE_LISTEN", "127.0.0.1:7"),
        ("FANFARE_LIMITS__PAGE_MAX", "77"),
        ("FANFARE_TLS_CERT", "1234"),
        ("FANFARE_TLS_KEY", "tls/key.pem"),
    ]);
    let loaded = Loaded::load(&settings(), variables, tempdir().unwrap().path()).unwrap();
    read_back(&loaded);
    assert_eq!(loaded.config.tls_cert, Some(PathBuf::from("1234")));
    let secret = Config {
        cql_nodes: vec!["user:hunter2@node-1:9042".into()],
        origins: vec!["https://user:hunter2@a.example".into()],
        ..loaded.config
    };
    let printed = printed(secret);
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
    collect(Known::new().unwrap().dict(), "", &mut existing);
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
            Value::Array(..) | Value::Empty(..) => "none".to_owned(),
            number => number.to_u128().unwrap().to_string(),
        };
        keys.insert((key, default));
    }
}
