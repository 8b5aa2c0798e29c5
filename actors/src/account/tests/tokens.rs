//! Tokens that are not ours, or not any more.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare_engine::secret::DataSecret;
use fanfare_protocol::{Code, SessionId, Timestamp, UserId};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::{AccessTokens, RefreshTokens, TokenKey};

const NOW: Timestamp = Timestamp(1_795_230_204_000);
const KEY: [u8; 32] = [8; 32];

fn ids() -> (UserId, SessionId) {
    (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)))
}

fn ours() -> AccessTokens {
    AccessTokens::new(&TokenKey::new(KEY))
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_token_names_its_bearer_until_its_end_and_the_leeway() {
    let (user, session) = ids();
    let token = ours().issue(user, session, NOW, 900).unwrap();
    let identity = ours().verify(&token, NOW).unwrap();
    assert_eq!((identity.user, identity.session), (user, session));
    assert_eq!(identity.expires_at, NOW.plus_ms(900_000));
    ours().verify(&token, NOW.plus_ms(909_999)).unwrap();
    let refusal = ours().verify(&token, NOW.plus_ms(910_000)).unwrap_err();
    assert_eq!(refusal.code, Code::TokenExpired);
}

#[test]
fn whatever_differs_from_our_tokens_is_refused() {
    let (user, session) = ids();
    let token = ours().issue(user, session, NOW, 900).unwrap();
    let (header, claims) = (part(&token, 0), part(&token, 1));
    assert_eq!(header["alg"], "HS256");
    let forge = |header: &Value, claims: &Value, key: &[u8]| {
        let header: Header = serde_json::from_value(header.clone()).unwrap();
        encode(&header, claims, &EncodingKey::from_secret(key)).unwrap()
    };
    let refused = |what: &str, token: &str| {
        let refusal = ours().verify(token, NOW).unwrap_err();
        assert_eq!(refusal.code, Code::Unauthenticated, "{what}");
    };
    ours().verify(&forge(&header, &claims, &KEY), NOW).unwrap();
    refused("another key", &forge(&header, &claims, &[9; 32]));
    for (field, value) in [
        ("typ", json!("JWT")),
        ("typ", Value::Null),
        ("kid", json!("other")),
        ("kid", Value::Null),
        ("alg", json!(Algorithm::HS512)),
        ("crit", json!(["b64"])),
    ] {
        let mut header = header.clone();
        header[field] = value;
        refused(field, &forge(&header, &claims, &KEY));
    }
    for field in ["iss", "aud", "sub", "sid", "exp", "iat"] {
        let mut without = claims.clone();
        without.as_object_mut().unwrap().remove(field);
        refused(field, &forge(&header, &without, &KEY));
        let mut other = claims.clone();
        other[field] = json!("other");
        refused(field, &forge(&header, &other, &KEY));
    }
    let body = token.split('.').nth(1).unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    refused("alg none", &format!("{none}.{body}."));
    for garbage in ["", ".", "..", "a.b.c", &token[1..], &"x".repeat(5000)] {
        refused("garbage", garbage);
    }
}

#[test]
fn an_expired_token_under_another_key_is_not_called_expired() {
    let (user, session) = ids();
    let other = AccessTokens::new(&TokenKey::new([9; 32]));
    let token = other.issue(user, session, NOW, 1).unwrap();
    let refusal = ours().verify(&token, NOW.plus_ms(99_000)).unwrap_err();
    assert_eq!(refusal.code, Code::Unauthenticated);
}

#[test]
fn refresh_tokens_are_read_back_and_made_up_ones_are_not() {
    let tokens = RefreshTokens::new(DataSecret::new([7; 32]));
    let (_, session) = ids();
    let (text, made) = tokens.make(session).unwrap();
    assert_eq!(tokens.read(&text), Ok(made));
    assert_eq!(made.session, session);
    let other = tokens.make(session).unwrap();
    assert_ne!(other.0, text);
    assert_ne!(other.1.fingerprint, made.fingerprint);
    let elsewhere = RefreshTokens::new(DataSecret::new([6; 32]));
    assert!(elsewhere.read(&text).is_err());
    let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
    for index in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[index] ^= 1;
        assert!(tokens.read(&URL_SAFE_NO_PAD.encode(&bytes)).is_err());
        assert!(
            tokens
                .read(&URL_SAFE_NO_PAD.encode(&bytes[..index]))
                .is_err()
        );
    }
    assert!(tokens.read(&"A".repeat(5000)).is_err());
}

#[test]
fn keys_are_not_printed() {
    assert_eq!(format!("{:?}", TokenKey::new(KEY)), "TokenKey(…)");
}
