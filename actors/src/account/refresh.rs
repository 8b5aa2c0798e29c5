//! Refreshing: each refresh token is good once, and a second use tells on it.

use std::net::IpAddr;

use fanfare_engine::account::Family;
use fanfare_protocol::limits::CAS_ATTEMPTS_MAX;
use fanfare_protocol::rest::Tokens;
use fanfare_protocol::{Refusal, SessionId, Timestamp};

use super::book::AccountBook;
use super::tokens::{RefreshToken, not_valid};

/// What a refresh token is to its family.
enum Standing {
    /// The newest, or the one before it within the grace (its answer was
    /// lost): gets a fresh pair.
    Good,
    /// Its family has ended.
    Ended,
    /// It was used before: somebody else has a copy.
    Reused,
}

impl AccountBook {
    /// A fresh pair for a refresh token. The old one is good once more within
    /// `refresh_grace_ms`, for a client whose answer was lost; what the last
    /// answer said counts. Any later use revokes the whole log-in.
    ///
    /// # Errors
    /// `unauthenticated` when the token is none of ours, used before, revoked
    /// or ended: log in again. `rate_limited`; what the store says.
    pub async fn refresh(&self, token: &str, address: IpAddr) -> Result<Tokens, Refusal> {
        self.rates.auth(address)?;
        let token = self.refresh.read(token)?;
        for _ in 0..CAS_ATTEMPTS_MAX {
            let family = self.families.family(token.session).await?;
            let family = family.ok_or_else(not_valid)?;
            let now = self.clock.now();
            match self.standing_of(&token, &family, now) {
                Standing::Good => {}
                Standing::Ended => return Err(not_valid()),
                Standing::Reused => {
                    tracing::warn!(user = %family.user, session = %family.session,
                        "a used refresh token came again: its log-in is revoked");
                    self.revoke(family.session).await?;
                    return Err(not_valid());
                }
            }
            let account = self.accounts.account(family.user).await?;
            let account = account
                .filter(|account| account.deactivated_at.is_none())
                .ok_or_else(not_valid)?;
            let (text, next) = self.refresh.make(family.session)?;
            let rev = family.rev;
            let answer = self.answer(account.user, family.session, text, now)?;
            let rotated = rotate(family, &token, &next, now, self.refresh_ends_at(now));
            if self.families.put_family(rotated, Some(rev)).await? {
                return Ok(answer);
            }
        }
        Err(Refusal::unavailable(
            "this log-in is refreshed too often at once",
        ))
    }

    /// Ends a log-in: its refresh tokens and, in this process at once, its
    /// access tokens.
    pub(super) async fn revoke(&self, session: SessionId) -> Result<(), Refusal> {
        for _ in 0..CAS_ATTEMPTS_MAX {
            let family = self.families.family(session).await?;
            let mut family = family.ok_or_else(not_valid)?;
            let now = self.clock.now();
            if family.revoked_at.is_some() {
                self.revoked.add(now, session);
                return Ok(());
            }
            let rev = family.rev;
            family.revoked_at = Some(now);
            family.rev += 1;
            if self.families.put_family(family, Some(rev)).await? {
                self.revoked.add(now, session);
                return Ok(());
            }
        }
        Err(Refusal::unavailable(
            "this log-in changes too often at once",
        ))
    }

    fn standing_of(&self, token: &RefreshToken, family: &Family, now: Timestamp) -> Standing {
        let grace_ends_at = family.rotated_at.plus_ms(self.limits.refresh_grace_ms);
        let newest = token.is(family.current);
        let before = family.previous.is_some_and(|previous| token.is(previous));
        if family.revoked_at.is_some() || now >= family.expires_at {
            Standing::Ended
        } else if newest || (before && now < grace_ends_at) {
            Standing::Good
        } else {
            Standing::Reused
        }
    }
}

/// The family after `token` was traded for `next`. A repeat within the grace
/// keeps `previous` and the grace's beginning: it cannot be stretched.
fn rotate(
    family: Family,
    token: &RefreshToken,
    next: &RefreshToken,
    now: Timestamp,
    expires_at: Timestamp,
) -> Family {
    let repeated = !token.is(family.current);
    Family {
        current: next.fingerprint,
        previous: Some(token.fingerprint),
        rotated_at: if repeated { family.rotated_at } else { now },
        expires_at,
        rev: family.rev + 1,
        ..family
    }
}
