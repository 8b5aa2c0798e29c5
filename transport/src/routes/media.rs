//! Which codec a body is in (`Content-Type`), and which one an answer is
//! wanted in (`Accept`, RFC 9110 §12.5.1). JSON where nothing is said.

use fanfare_protocol::Codec;
use warp::http::HeaderMap;
use warp::http::header::{ACCEPT, CONTENT_TYPE};

/// Names of MessagePack; the first is the registered one's short form, which
/// answers carry.
const MESSAGE_PACK: [&str; 3] = [
    "application/msgpack",
    "application/vnd.msgpack",
    "application/x-msgpack",
];
const JSON: &str = "application/json";

/// What answers in a codec are called.
pub(super) fn name(codec: Codec) -> &'static str {
    match codec {
        Codec::Json => JSON,
        Codec::MessagePack => MESSAGE_PACK[0],
    }
}

/// The codec of a body; `None` for one that is not spoken here.
pub(super) fn of_body(headers: &HeaderMap) -> Option<Codec> {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return Some(Codec::Json);
    };
    let kind = kind.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if is_message_pack(kind) {
        return Some(Codec::MessagePack);
    }
    kind.eq_ignore_ascii_case(JSON).then_some(Codec::Json)
}

/// The codec an answer is wanted in. Who takes neither gets JSON: an answer
/// that explains beats a bare 406.
pub(super) fn wanted(headers: &HeaderMap) -> Codec {
    let ranges = headers
        .get_all(ACCEPT)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(Range::of);
    let (mut json, mut packed) = (Wish::default(), Wish::default());
    for range in ranges {
        if is_message_pack(range.name) {
            packed.hear(2, range.thousandths);
        } else if range.name.eq_ignore_ascii_case(JSON) {
            json.hear(2, range.thousandths);
        } else if range.name.eq_ignore_ascii_case("application/*") {
            json.hear(1, range.thousandths);
            packed.hear(1, range.thousandths);
        } else if range.name == "*/*" {
            json.hear(0, range.thousandths);
            packed.hear(0, range.thousandths);
        }
    }
    if packed.thousandths > json.thousandths {
        Codec::MessagePack
    } else {
        Codec::Json
    }
}

fn is_message_pack(name: &str) -> bool {
    MESSAGE_PACK
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

struct Range<'a> {
    name: &'a str,
    thousandths: u32,
}

impl<'a> Range<'a> {
    fn of(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.eq_ignore_ascii_case("q").then_some(value)
        });
        // One that is no number is as good as not said.
        let quality = quality.and_then(|value| value.parse().ok());
        let thousandths = (quality.unwrap_or(1.0_f64).clamp(0.0, 1.0) * 1000.0) as u32;
        Self { name, thousandths }
    }
}

/// How much one codec is wanted, by the most specific range that names it.
#[derive(Default)]
struct Wish {
    precision: u8,
    thousandths: u32,
}

impl Wish {
    fn hear(&mut self, precision: u8, thousandths: u32) {
        if precision > self.precision {
            *self = Self {
                precision,
                thousandths,
            };
        } else if precision == self.precision {
            self.thousandths = self.thousandths.max(thousandths);
        }
    }
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;
    use warp::http::header::HeaderName;

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn answers_come_in_what_is_wanted_most() {
        let (json, packed) = (Codec::Json, Codec::MessagePack);
        let table = [
            ("application/msgpack", packed),
            ("application/vnd.msgpack", packed),
            ("APPLICATION/X-MSGPACK ; Q=0.5", packed),
            ("application/msgpack, application/json", json),
            ("application/msgpack, application/json;q=0.9", packed),
            ("application/msgpack;q=0.8, application/json", json),
            ("application/msgpack, */*;q=0.1", packed),
            ("*/*", json),
            ("application/*, application/json;q=0.1", packed),
            ("application/msgpack;q=0", json),
            ("application/msgpack;q=0, */*", json),
            ("application/json;q=0, */*", packed),
            ("text/html", json),
            ("application/msgpack;q=abc", packed),
            ("application/msgpack;q=-1", json),
            ("application/msgpack;q=NaN", json),
            (", ;, q=1", json),
            ("", json),
        ];
        for (accept, codec) in table {
            assert_eq!(wanted(&headers(ACCEPT, accept)), codec, "{accept}");
        }
        assert_eq!(wanted(&HeaderMap::new()), json);
        let mut lines = headers(ACCEPT, "text/html");
        lines.append(ACCEPT, HeaderValue::from_static("application/msgpack"));
        assert_eq!(wanted(&lines), packed);
    }

    #[test]
    fn bodies_say_what_they_are_in() {
        let table = [
            ("application/json", Some(Codec::Json)),
            ("application/json; charset=utf-8", Some(Codec::Json)),
            ("application/msgpack", Some(Codec::MessagePack)),
            ("application/vnd.msgpack", Some(Codec::MessagePack)),
            ("Application/X-MsgPack; a=b", Some(Codec::MessagePack)),
            ("text/plain", None),
            ("", None),
        ];
        for (kind, codec) in table {
            assert_eq!(of_body(&headers(CONTENT_TYPE, kind)), codec, "{kind}");
        }
        assert_eq!(of_body(&HeaderMap::new()), Some(Codec::Json));
    }
}
