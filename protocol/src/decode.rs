//! JSON text to typed requests, with refusals that name the field.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::refusal::{Code, Refusal};

/// Decodes a request body or a frame's `data`.
///
/// # Errors
/// `invalid_frame` when the bytes are no JSON, `invalid_request` with
/// `details` (field → reason) when the JSON does not fit.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        refuse(&path, error.inner())
    })?;
    json.end().map_err(|error| refuse(".", &error))?;
    Ok(value)
}

fn refuse(path: &str, error: &serde_json::Error) -> Refusal {
    match error.classify() {
        Category::Data => {
            let reason = without_position(&error.to_string());
            let field = named_field(&reason).map_or_else(
                || {
                    if path == "." {
                        "data".to_owned()
                    } else {
                        path.to_owned()
                    }
                },
                |name| match path {
                    "." => name.to_owned(),
                    parent if parent.ends_with(name) => parent.to_owned(),
                    parent => format!("{parent}.{name}"),
                },
            );
            Refusal::field(field, reason)
        }
        Category::Io | Category::Syntax | Category::Eof => {
            Refusal::new(Code::InvalidFrame, format!("not JSON: {error}"))
        }
    }
}

/// The field that serde's own messages name in backticks.
fn named_field(reason: &str) -> Option<&str> {
    ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|prefix| reason.strip_prefix(prefix))
        .and_then(|rest| rest.split('`').next())
}

fn without_position(message: &str) -> String {
    message
        .rsplit_once(" at line ")
        .map_or(message, |(reason, _)| reason)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::SendMessage;

    #[test]
    fn refusals_name_the_field() {
        let refusal = decode::<SendMessage>(br#"{"text":"a","extra":1}"#).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidRequest);
        assert!(refusal.details.contains_key("extra"), "{refusal:?}");
        let refusal = decode::<SendMessage>(br#"{"text":7}"#).unwrap_err();
        assert!(refusal.details.contains_key("text"), "{refusal:?}");
        let refusal = decode::<SendMessage>(br"{}").unwrap_err();
        assert!(refusal.details.contains_key("text"), "{refusal:?}");
    }

    #[test]
    fn what_is_no_json_is_an_invalid_frame() {
        for bytes in [&b"{"[..], b"", br#"{"text":"a"} {}"#, b"nul", b"\xff"] {
            assert_eq!(
                decode::<SendMessage>(bytes).unwrap_err().code,
                Code::InvalidFrame,
                "{bytes:?}"
            );
        }
    }
}
