//! Tokens: access tokens prove an identity without a store, refresh tokens
//! are shown once and stored only as fingerprints.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare_engine::secret::{DataSecret, Fingerprint};
use fanfare_protocol::limits::{TOKEN_BYTES_MAX, TOKEN_LEEWAY_S};
use fanfare_protocol::{Code, Refusal, SessionId, Timestamp, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use super::seams::random;

/// `typ` of our tokens (RFC 9068): a JWT made for another purpose under the
/// same key is none of them.
const TYPE: &str = "at+jwt";
/// `iss` and `aud`.
const ISSUER: &str = "fanfare";

/// Who asks, as an access token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// Their log-in.
    pub session: SessionId,
    /// End of the token.
    pub expires_at: Timestamp,
}

/// The key that signs access tokens: 32 random bytes. Never printed.
#[derive(Clone, ZeroizeOnDrop)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// Takes 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Names the key in token headers without telling anything of it.
    fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"fanfare token key id");
        hash.update(self.0);
        let digest: [u8; 32] = hash.finalize().into();
        URL_SAFE_NO_PAD.encode(&digest[..8])
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    /// Seconds since 1970.
    iat: i64,
    /// Seconds since 1970.
    exp: i64,
}

/// Issues and verifies access tokens: JWT, HS256 and nothing else.
pub struct AccessTokens {
    header: Header,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

impl AccessTokens {
    /// Tokens under this key.
    pub fn new(key: &TokenKey) -> Self {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By our own clock, below.
        validation.validate_exp = false;
        Self {
            header,
            signing: EncodingKey::from_secret(&key.0),
            verifying: DecodingKey::from_secret(&key.0),
            validation,
        }
    }

    /// A token of `life_s` seconds.
    ///
    /// # Errors
    /// `internal` when signing fails.
    pub fn issue(
        &self,
        user: UserId,
        session: SessionId,
        now: Timestamp,
        life_s: u64,
    ) -> Result<String, Refusal> {
        let now_s = now.0.div_euclid(1000);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: user,
            sid: session,
            iat: now_s,
            exp: now_s.saturating_add(i64::try_from(life_s).unwrap_or(i64::MAX)),
        };
        encode(&self.header, &claims, &self.signing).map_err(|error| {
            tracing::error!(%error, "an access token could not be signed");
            Refusal::internal()
        })
    }

    /// Who a token names. Pure CPU.
    ///
    /// # Errors
    /// `unauthenticated` for what is no token of ours, `token_expired` for
    /// one whose end lies more than `TOKEN_LEEWAY_S` behind.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(not_valid());
        }
        let decoded =
            decode::<Claims>(token, &self.verifying, &self.validation).map_err(|_| not_valid())?;
        let header = &decoded.header;
        if header.typ.as_deref() != Some(TYPE)
            || header.kid != self.header.kid
            || header.crit.is_some()
        {
            return Err(not_valid());
        }
        let claims = decoded.claims;
        let expires_at = Timestamp(claims.exp.saturating_mul(1000));
        if now >= expires_at.plus_ms(TOKEN_LEEWAY_S * 1000) {
            return Err(Refusal::new(
                Code::TokenExpired,
                "the access token has ended",
            ));
        }
        Ok(Identity {
            user: claims.sub,
            session: claims.sid,
            expires_at,
        })
    }
}

/// `unauthenticated`, without saying which check failed.
pub(super) fn not_valid() -> Refusal {
    Refusal::new(Code::Unauthenticated, "the token is not valid")
}

/// A refresh token that this server once made; whether it is still good is
/// for its family to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken {
    /// The log-in that it prolongs.
    pub session: SessionId,
    /// What is stored of it.
    pub fingerprint: Fingerprint,
}

impl RefreshToken {
    /// Whether a stored fingerprint is this token's, in constant time.
    pub(super) fn is(&self, stored: Fingerprint) -> bool {
        self.fingerprint.0.ct_eq(&stored.0).into()
    }
}

/// Makes and reads refresh tokens: base64url of 16 bytes session, 32 random
/// bytes, 16 bytes seal. The seal tells a token that was used before (its
/// family is revoked) from one that somebody made up (nothing happens).
pub struct RefreshTokens {
    secret: DataSecret,
}

const SESSION_BYTES: usize = 16;
const SEALED_BYTES: usize = SESSION_BYTES + 32;

impl RefreshTokens {
    /// Tokens sealed with the secret that travels with the data.
    pub fn new(secret: DataSecret) -> Self {
        Self { secret }
    }

    /// A new token and what to store of it.
    ///
    /// # Errors
    /// `internal` without randomness.
    pub fn make(&self, session: SessionId) -> Result<(String, RefreshToken), Refusal> {
        let mut bytes = session.as_bytes().to_vec();
        bytes.extend(random::<32>()?);
        let token = RefreshToken {
            session,
            fingerprint: self.fingerprint(&bytes),
        };
        bytes.extend(self.seal(&bytes).0);
        Ok((URL_SAFE_NO_PAD.encode(bytes), token))
    }

    /// Reads a token.
    ///
    /// # Errors
    /// `unauthenticated` for what this server never made.
    pub fn read(&self, text: &str) -> Result<RefreshToken, Refusal> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(not_valid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| not_valid())?;
        let (sealed, seal) = bytes.split_at_checked(SEALED_BYTES).ok_or_else(not_valid)?;
        let session = sealed
            .first_chunk::<SESSION_BYTES>()
            .ok_or_else(not_valid)?;
        if !bool::from(self.seal(sealed).0.as_slice().ct_eq(seal)) {
            return Err(not_valid());
        }
        Ok(RefreshToken {
            session: SessionId::from_bytes(*session),
            fingerprint: self.fingerprint(sealed),
        })
    }

    fn seal(&self, sealed: &[u8]) -> Fingerprint {
        self.secret.hash(&[b"refresh token seal", sealed])
    }

    fn fingerprint(&self, sealed: &[u8]) -> Fingerprint {
        self.secret.hash(&[b"refresh token", sealed])
    }
}
