//! Bytes to typed requests, with refusals that name the field.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::limits::FIELD_NAME_CHARS_MAX;
use crate::msgpack::{self, Reader};
use crate::refusal::{Code, Refusal};

/// See [`crate::Codec::decode`].
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    // Structs can be read from arrays too, by position; the wire has names.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(IgnoredAny) => Refusal::field("data", "expected an object"),
            Err(error) => no_json(&error),
        });
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| refuse(bytes, &error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| no_json(&error))?;
    Ok(value)
}

/// See [`crate::Codec::decode`].
pub(crate) fn from_msgpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let mut reader = Reader::new(bytes);
    reader
        .raw()
        .and_then(|_| reader.end())
        .map_err(|error| no_msgpack(&error))?;
    serde_path_to_error::deserialize(&mut Reader::new(bytes)).map_err(|error| match error.inner() {
        msgpack::Error::Misfit(why) => misfit(&error.path().to_string(), why),
        broken @ msgpack::Error::Broken(_) => no_msgpack(broken),
    })
}

/// The refusal of a field that must not be there.
pub(crate) fn unknown_field(name: &str) -> Refusal {
    Refusal::field(shortened(name), "unknown field")
}

fn refuse(bytes: &[u8], path: &str, error: &serde_json::Error) -> Refusal {
    match error.classify() {
        // What does not fit may stand before what is no JSON at all.
        Category::Data => match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(IgnoredAny) => misfit(path, without_position(&error.to_string())),
            Err(error) => no_json(&error),
        },
        Category::Io | Category::Syntax | Category::Eof => no_json(error),
    }
}

/// The refusal of bytes that are no JSON.
pub(crate) fn no_json(error: &serde_json::Error) -> Refusal {
    // serde_json's words for syntax hold positions, but nothing that was sent.
    Refusal::new(Code::InvalidFrame, format!("not JSON: {error}"))
}

/// The refusal of bytes that are no MessagePack.
pub(crate) fn no_msgpack(error: &msgpack::Error) -> Refusal {
    Refusal::new(Code::InvalidFrame, format!("not MessagePack: {error}"))
}

/// serde_json's words end with where in the text it was.
fn without_position(message: &str) -> &str {
    message
        .rsplit_once(" at line ")
        .map_or(message, |(reason, _)| reason)
}

fn misfit(path: &str, message: &str) -> Refusal {
    let (reason, name) = reason_of(message);
    let field = match (name, path) {
        (Some(name), ".") => name.to_owned(),
        (Some(name), path) if path == name || path.ends_with(&format!(".{name}")) => {
            path.to_owned()
        }
        (Some(name), path) => format!("{path}.{name}"),
        (None, ".") => "data".to_owned(),
        (None, path) => path.to_owned(),
    };
    Refusal::field(shortened(&field), reason)
}

/// What is wrong, and the field that serde's own words name in backticks.
fn reason_of(message: &str) -> (String, Option<&str>) {
    for problem in ["unknown field", "missing field", "duplicate field"] {
        let named = message
            .strip_prefix(problem)
            .and_then(|rest| rest.strip_prefix(" `"));
        if let Some(rest) = named {
            return (problem.to_owned(), rest.split('`').next());
        }
    }
    // "invalid type: string \"…\", expected …": what was sent stays out.
    let reason = match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => message.to_owned(),
    };
    (reason, None)
}

fn shortened(name: &str) -> String {
    name.chars().take(FIELD_NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Codec;
    use crate::command::{AddParticipants, CreateConversation, SendMessage, UpdateConversation};
    use crate::frame::Hello;
    use crate::rest::NewRole;

    #[test]
    fn refusals_name_the_field() {
        let refusal = from_json::<SendMessage>(br#"{"text":"a","extra":1}"#).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidRequest);
        assert!(refusal.details.contains_key("extra"), "{refusal:?}");
        let refusal = from_json::<SendMessage>(br#"{"text":7}"#).unwrap_err();
        assert!(refusal.details.contains_key("text"), "{refusal:?}");
        let refusal = from_json::<SendMessage>(br"{}").unwrap_err();
        assert!(refusal.details.contains_key("text"), "{refusal:?}");
    }

    #[test]
    fn what_is_no_json_is_an_invalid_frame() {
        let deep = format!("{}1", "[".repeat(100_000));
        let table = [
            &b"{"[..],
            b"",
            b" ",
            b"{} {}",
            b"nul",
            b"\xff",
            br#"{"text":1"#,
            br#"{"text":[}"#,
            br#"{"x":1}x"#,
            br#"{"text":"a"}{"#,
            b"{\"text\":\"\xff\"}",
            b"{\"text\":\"\n\"}",
            br#"{"text":"\ud800"}"#,
            br#"{"text":NaN}"#,
            br#"{"text":-}"#,
            br"{'text':1}",
            deep.as_bytes(),
        ];
        for bytes in table {
            let refusal = from_json::<SendMessage>(bytes).unwrap_err();
            let start = &bytes[..bytes.len().min(40)];
            assert_eq!(refusal.code, Code::InvalidFrame, "{start:?} {refusal:?}");
        }
    }

    #[test]
    fn json_that_does_not_fit_names_its_field() {
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let table = [
            ("[]", "data"),
            (r#"["a",null,"text"]"#, "data"),
            ("5", "data"),
            ("null", "data"),
            (r#"{"text":"a","text":"b"}"#, "text"),
            (r#"{"text":"a","replyTo":5}"#, "replyTo"),
            (r#"{"text":"a","replyTo":"AA"}"#, "replyTo"),
            (r#"{"text":"a","type":"image"}"#, "type"),
            (r#"{"text":1e999}"#, ""),
            (&deep, "x"),
        ];
        for (text, field) in table {
            let refusal = from_json::<SendMessage>(text.as_bytes()).unwrap_err();
            let named = refusal.details.keys().next().map_or("", String::as_str);
            assert_eq!(named, field, "{refusal:?}");
        }
    }

    /// Both codecs refuse an object in place of each of these words.
    fn takes_words_only<T: DeserializeOwned>(text: &str, path: &str) {
        let whole: serde_json::Value = serde_json::from_str(text).unwrap();
        for word in [json!({"web": null}), json!({}), json!(["web"]), json!(1)] {
            let mut bent = whole.clone();
            *bent.pointer_mut(path).unwrap() = word;
            let packed = rmp_serde::to_vec_named(&bent).unwrap();
            for bytes in [bent.to_string().as_bytes(), &packed] {
                let codec = match bytes[0] {
                    b'{' => Codec::Json,
                    _ => Codec::MessagePack,
                };
                let refusal = codec.decode::<T>(bytes).err().unwrap();
                let field = path.trim_start_matches('/').replace('/', ".");
                assert_eq!(refusal.code, Code::InvalidRequest, "{bent}");
                assert_eq!(refusal.details[&field], "expected a string", "{bent}");
            }
        }
        assert!(from_json::<T>(text.as_bytes()).is_ok(), "{text}");
    }

    #[test]
    fn words_are_strings_in_both_codecs() {
        takes_words_only::<Hello>(r#"{"device":{"kind":"web"}}"#, "/device/kind");
        let channel = r#"{"kind":"channel","visibility":"public","joinPolicy":"open"}"#;
        for path in ["/kind", "/visibility", "/joinPolicy"] {
            takes_words_only::<CreateConversation>(channel, path);
        }
        let change = r#"{"visibility":"private","joinPolicy":"invite"}"#;
        for path in ["/visibility", "/joinPolicy"] {
            takes_words_only::<UpdateConversation>(change, path);
        }
        takes_words_only::<SendMessage>(r#"{"text":"a","type":"text"}"#, "/type");
        takes_words_only::<NewRole>(r#"{"role":"admin"}"#, "/role");
        takes_words_only::<AddParticipants>(r#"{"userIds":[],"role":"admin"}"#, "/role");
        // None at all is none.
        assert!(from_json::<UpdateConversation>(br#"{"visibility":null}"#).is_ok());
    }

    #[test]
    fn a_refusal_repeats_nothing_that_was_sent() {
        let long = "canary".repeat(1000);
        for text in [
            format!(r#"{{"text":["{long}"]}}"#),
            format!(r#"{{"text":"a","type":"{long}"}}"#),
            format!(r#"{{"text":"a","type":"{long}, expected canary"}}"#),
            format!(r#"{{"text":"a","replyTo":"{long}"}}"#),
            format!(r#""{long}""#),
        ] {
            let refusal = from_json::<SendMessage>(text.as_bytes()).unwrap_err();
            assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
        }
        let unknown = format!(r#"{{"text":"a","{long}":1}}"#);
        let refusal = from_json::<SendMessage>(unknown.as_bytes()).unwrap_err();
        assert!(format!("{refusal:?}").len() < 500, "{refusal:?}");
    }
}
