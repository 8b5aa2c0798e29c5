//! Credentials as requests bring them, the same for routes and sockets.

use fanfare_protocol::{Code, Refusal};
use warp::http::HeaderMap;
use warp::http::header::AUTHORIZATION;

/// The bearer token of `Authorization` (RFC 6750, 2.1), if there is one.
///
/// # Errors
/// `unauthenticated` when the header stands there, but not once, or names
/// another scheme.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut lines = headers.get_all(AUTHORIZATION).into_iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    let token = match (line.to_str(), lines.next()) {
        (Ok(line), None) => line
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim()),
        _ => None,
    };
    token.map(Some).ok_or_else(|| {
        Refusal::new(
            Code::Unauthenticated,
            "authorization is not one bearer token",
        )
    })
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_bearer_token_is_one() {
        let table: [(&[&[u8]], Option<&str>); 8] = [
            (&[b"Bearer abc"], Some("abc")),
            (&[b"bearer  abc "], Some("abc")),
            (&[b"BEARER abc"], Some("abc")),
            (&[b"Bearer"], None),
            (&[b"Basic abc"], None),
            (&[b"abc"], None),
            (&[b"Bearer \xff"], None),
            (&[b"Bearer a", b"Bearer a"], None),
        ];
        for (lines, expected) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(AUTHORIZATION, HeaderValue::from_bytes(line).unwrap());
            }
            match bearer(&headers) {
                Ok(token) => assert_eq!((token, token.is_some()), (expected, true)),
                Err(refusal) => {
                    assert_eq!((refusal.code, expected), (Code::Unauthenticated, None));
                }
            }
        }
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
    }
}
