//! Keys that do not exist, and the one that was probably meant.

use std::fmt;

use figment::value::{Dict, Value};
use strsim::osa_distance;

use super::layers::{PREFIX, Place};
use super::{Config, ConfigError, wrong};

/// Every setting that exists, with its default.
pub(super) struct Known {
    defaults: Dict,
    keys: Vec<String>,
}

/// A key that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The whole key.
    pub key: String,
    /// Where it stands.
    pub place: Place,
    /// The key that is nearest to it, if any is near.
    pub nearest: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no setting `{}` ({})", self.key, self.place)?;
        match (&self.nearest, &self.place) {
            (None, _) => Ok(()),
            (Some(key), Place::Variable(_)) => write!(f, "; did you mean {}?", variable(key)),
            (Some(key), _) => write!(f, "; did you mean `{key}`?"),
        }
    }
}

impl Known {
    /// # Errors
    /// When the defaults cannot be nested, which they can.
    pub(super) fn new() -> Result<Self, ConfigError> {
        let defaults = Value::serialize(Config::default()).map_err(|error| wrong(&error))?;
        let defaults = defaults.into_dict().unwrap_or_default();
        let mut keys = Vec::new();
        leaves(&defaults, "", &mut keys);
        Ok(Self { defaults, keys })
    }

    /// The defaults, as they are nested in a file.
    pub(super) fn dict(&self) -> &Dict {
        &self.defaults
    }

    /// All keys that hold a value: `limits.page_max`, not `limits`.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The default of a key, `limits` included.
    pub(super) fn default_of(&self, key: &str) -> Option<&Value> {
        let mut names = key.split('.');
        let first = self.defaults.get(names.next()?)?;
        names.try_fold(first, |value, name| value.as_dict()?.get(name))
    }

    /// Notes every key of a file that does not exist. A value where a table
    /// belongs, or the other way round, is a wrong value and not looked at.
    pub(super) fn look_through(&self, file: &Dict, place: &Place, unknown: &mut Vec<Unknown>) {
        for (name, value) in file {
            match (self.defaults.get(name), value) {
                (None, Value::Dict(_, inside)) => {
                    let mut keys = Vec::new();
                    leaves(inside, &format!("{name}."), &mut keys);
                    // An empty table of a wrong name is wrong as well.
                    if keys.is_empty() {
                        keys.push(name.clone());
                    }
                    unknown.extend(keys.iter().map(|key| self.unknown(key, place)));
                }
                (None, _) => unknown.push(self.unknown(name, place)),
                (Some(Value::Dict(_, defaults)), Value::Dict(_, inside)) => {
                    let strange = inside.keys().filter(|key| !defaults.contains_key(*key));
                    unknown
                        .extend(strange.map(|key| self.unknown(&format!("{name}.{key}"), place)));
                }
                (Some(_), _) => {}
            }
        }
    }

    /// `key` as one that does not exist.
    pub(super) fn unknown(&self, key: &str, place: &Place) -> Unknown {
        Unknown {
            key: key.to_owned(),
            place: place.clone(),
            nearest: nearest(key, &self.keys).map(str::to_owned),
        }
    }
}

/// The variable that sets a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// The key that is fewest edits away from `key`, at most a third of its
/// length: farther ones only look like guesses. A key without its table
/// (`page_max`) is measured against the names inside the tables as well.
fn nearest<'a>(key: &str, keys: &'a [String]) -> Option<&'a str> {
    let distance = |known: &'a String| {
        let inside = known
            .rsplit_once('.')
            .map_or(known.as_str(), |(_, name)| name);
        let whole = osa_distance(key, known);
        let edits = if key.contains('.') {
            whole
        } else {
            // The table is missing too: a whole key that is as near goes first.
            whole.min(osa_distance(key, inside).saturating_add(1))
        };
        (edits, known.as_str())
    };
    let (edits, known) = keys.iter().map(distance).min()?;
    (edits <= key.chars().count().div_ceil(3)).then_some(known)
}

fn leaves(dict: &Dict, above: &str, keys: &mut Vec<String>) {
    for (name, value) in dict {
        let key = format!("{above}{name}");
        match value {
            Value::Dict(_, inside) => leaves(inside, &format!("{key}."), keys),
            _ => keys.push(key),
        }
    }
}
