//! The effective configuration as a file that would give it, each setting with
//! the place it comes from, names and passwords in addresses left out.

use super::{Config, ConfigError, Loaded, unfit};

/// Comments stand in this column, unless the setting is longer.
const COMMENT_COLUMN: usize = 44;

impl Loaded {
    /// The configuration as TOML, without secrets; a comment behind each
    /// setting says where it comes from.
    ///
    /// # Errors
    /// [`ConfigError::Unfit`] for a path that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        let text = toml::to_string(&without_secrets(&self.config))
            .map_err(|error| unfit("data", error.to_string()))?;
        let (mut table, mut setting) = (String::new(), String::new());
        let mut printed = String::new();
        for line in text.lines() {
            setting += line;
            // A text of several lines is one setting.
            if setting.parse::<toml::Table>().is_err() {
                setting += "\n";
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                table = format!("{name}.");
            }
            let name = setting.split_once(" = ").map_or("", |(name, _)| name);
            match self.places.get(&format!("{table}{name}")) {
                Some(place) => {
                    let place = place.replace(char::is_control, "\u{fffd}");
                    printed += &format!("{setting:<COMMENT_COLUMN$} # {place}\n");
                }
                None => printed += &format!("{setting}\n"),
            }
            setting.clear();
        }
        Ok(printed)
    }
}

fn without_secrets(config: &Config) -> Config {
    let mut shown = config.clone();
    let lists = [
        &mut shown.cql_nodes,
        &mut shown.origins,
        &mut shown.trusted_proxies,
    ];
    for text in lists.into_iter().flatten() {
        *text = redacted(text);
    }
    shown
}

/// An address without the name and password in it.
pub(super) fn redacted(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}…@{host}"),
        None => text.to_owned(),
    }
}
