//! The places settings come from, as layers that override each other.

use std::fmt;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::ConfigError;
use super::unknown::{Known, Unknown};

/// Where a configuration file lies when none is named.
pub(super) const FILE: &str = "fanfare.toml";
/// How the variables begin.
pub(super) const PREFIX: &str = "FANFARE_";

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Built in.
    Default,
    /// A file, by its path.
    File(PathBuf),
    /// A variable of the environment, by its name.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// What one place sets.
pub(super) struct Layer {
    dict: Dict,
    place: Place,
}

impl Layer {
    /// The defaults.
    pub(super) fn defaults(known: &Known) -> Self {
        Self {
            dict: known.dict().clone(),
            place: Place::Default,
        }
    }

    /// The file at `path`. Keys that do not exist are added to `unknown`.
    pub(super) fn file(
        path: &Path,
        known: &Known,
        unknown: &mut Vec<Unknown>,
    ) -> Result<Self, ConfigError> {
        let dict = read(path).map_err(|why| ConfigError::File {
            path: path.to_owned(),
            why,
        })?;
        let place = Place::File(path.to_owned());
        known.look_through(&dict, &place, unknown);
        Ok(Self { dict, place })
    }

    /// One setting given as text, read as what its default is: text, a list
    /// or a number.
    pub(super) fn one(key: &str, text: &str, place: Place, known: &Known) -> Result<Self, Unknown> {
        let value = match known.default_of(key) {
            Some(Value::String(..) | Value::Empty(..)) => Value::from(text),
            Some(Value::Array(..)) => {
                let items = text.split(',').map(str::trim);
                Value::from(items.filter(|item| !item.is_empty()).collect::<Vec<_>>())
            }
            Some(Value::Dict(..)) | None => return Err(known.unknown(key, &place)),
            Some(_) => match text.parse::<Value>() {
                Ok(value) => value,
                Err(never) => match never {},
            },
        };
        let nested = figment::util::nest(key, value);
        Ok(Self {
            dict: nested.into_dict().unwrap_or_default(),
            place,
        })
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

fn read(path: &Path) -> Result<Dict, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let what = error.message();
        let line = error.span().map_or(1, |span| {
            let before = text.get(..span.start).unwrap_or_default();
            before.matches('\n').count() + 1
        });
        format!("line {line}: {what}")
    })?;
    let value = Value::serialize(table).map_err(|error| error.to_string())?;
    Ok(value.into_dict().unwrap_or_default())
}
