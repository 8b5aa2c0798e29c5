//! The account book: every flow hangs on it, each in its own file.

use std::sync::Arc;

use fanfare_engine::account::{Account, Family};
use fanfare_engine::port::{Accounts, Names, Tokens as Families};
use fanfare_engine::secret::DataSecret;
use fanfare_protocol::rest::{Ticket, Tokens};
use fanfare_protocol::user::User;
use fanfare_protocol::{Limits, Refusal, SessionId, Timestamp};
use tokio::sync::broadcast;

use super::passwords::Passwords;
use super::profile::Usernames;
use super::revoked::Revoked;
use super::seams::{Clock, new_id};
use super::tickets::Tickets;
use super::tokens::{AccessTokens, Identity, RefreshTokens, TokenKey, not_valid};
use crate::rates::Rates;

/// What an account book is made of.
pub struct Parts {
    /// Accounts by id.
    pub accounts: Arc<dyn Accounts>,
    /// Claims on usernames, e-mail addresses and idempotency keys.
    pub names: Arc<dyn Names>,
    /// Log-ins and their refresh tokens.
    pub families: Arc<dyn Families>,
    /// The secret that travels with the data.
    pub secret: DataSecret,
    /// The key of access tokens.
    pub key: TokenKey,
    /// Rate limits, or none.
    pub rates: Arc<Rates>,
    /// Time.
    pub clock: Clock,
    /// Limits.
    pub limits: Arc<Limits>,
}

/// Who somebody is and how they prove it: registration, log-in, tokens,
/// profiles. Shared by REST and WebSocket; holds no lock over an await.
pub struct AccountBook {
    pub(super) accounts: Arc<dyn Accounts>,
    pub(super) names: Arc<dyn Names>,
    pub(super) families: Arc<dyn Families>,
    pub(super) secret: DataSecret,
    pub(super) rates: Arc<Rates>,
    pub(super) clock: Clock,
    pub(super) limits: Arc<Limits>,
    pub(super) passwords: Passwords,
    pub(super) access: AccessTokens,
    pub(super) refresh: RefreshTokens,
    pub(super) tickets: Tickets,
    pub(super) revoked: Revoked,
    pub(super) usernames: Usernames,
}

impl AccountBook {
    /// A book over these parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            passwords: Passwords::new(&parts.limits),
            access: AccessTokens::new(&parts.key),
            refresh: RefreshTokens::new(parts.secret.clone()),
            tickets: Tickets::new(&parts.limits),
            revoked: Revoked::new(&parts.limits),
            usernames: Usernames::new(parts.limits.usernames_cached_max),
            accounts: parts.accounts,
            names: parts.names,
            families: parts.families,
            secret: parts.secret,
            rates: parts.rates,
            clock: parts.clock,
            limits: parts.limits,
        }
    }

    /// Who an access token names. Pure CPU: no store is asked, so it may be
    /// called for every request and every frame.
    ///
    /// # Errors
    /// `unauthenticated` for what is no token of ours or was revoked,
    /// `token_expired` for one that ended.
    pub fn authenticate(&self, token: &str) -> Result<Identity, Refusal> {
        let now = self.clock.now();
        let identity = self.access.verify(token, now)?;
        self.unrevoked(now, identity)
    }

    /// A one-use ticket for somebody who is authenticated.
    ///
    /// # Errors
    /// `overloaded` past `tickets_max`.
    pub fn ticket(&self, identity: Identity) -> Result<Ticket, Refusal> {
        self.tickets.make(self.clock.now(), identity)
    }

    /// Uses a ticket up: who asked for it, until their token's end.
    ///
    /// # Errors
    /// `unauthenticated` for what is no unused ticket.
    pub fn redeem_ticket(&self, ticket: &str) -> Result<Identity, Refusal> {
        let now = self.clock.now();
        let identity = self.tickets.redeem(now, ticket)?;
        self.unrevoked(now, identity)
    }

    /// Whether a log-in was revoked in this process and its access token may
    /// still live.
    pub fn is_revoked(&self, session: SessionId) -> bool {
        self.revoked.contains(self.clock.now(), session)
    }

    /// Log-ins as they are revoked, so that their sockets are closed. A
    /// listener that lags asks [`Self::is_revoked`] for each of its own.
    pub fn revocations(&self) -> broadcast::Receiver<SessionId> {
        self.revoked.listen()
    }

    /// What hello checks beyond the token: the log-in in the store (so that
    /// a revocation outlives a restart) and the account. Gives the user.
    ///
    /// # Errors
    /// `unauthenticated` when either has ended; what the store says.
    pub async fn check_session(&self, identity: &Identity) -> Result<User, Refusal> {
        let family = self.families.family(identity.session).await?;
        let family = family.ok_or_else(not_valid)?;
        if family.user != identity.user {
            return Err(not_valid());
        }
        if family.revoked_at.is_some() {
            self.revoked.add(self.clock.now(), identity.session);
            return Err(not_valid());
        }
        let account = self.accounts.account(identity.user).await?;
        match account {
            Some(account) if account.deactivated_at.is_none() => Ok(account.user),
            Some(_) | None => Err(not_valid()),
        }
    }

    /// Begins a log-in.
    pub(super) async fn begin(&self, account: Account) -> Result<Tokens, Refusal> {
        let now = self.clock.now();
        let session = SessionId(new_id(now)?);
        let (refresh_token, stored) = self.refresh.make(session)?;
        let family = Family {
            session,
            user: account.user.id,
            current: stored.fingerprint,
            previous: None,
            rotated_at: now,
            expires_at: self.refresh_ends_at(now),
            revoked_at: None,
            rev: 0,
        };
        let tokens = self.answer(account.user, session, refresh_token, now)?;
        if self.families.put_family(family, None).await? {
            Ok(tokens)
        } else {
            tracing::error!(%session, "a new session id was taken");
            Err(Refusal::internal())
        }
    }

    pub(super) fn answer(
        &self,
        user: User,
        session: SessionId,
        refresh_token: String,
        now: Timestamp,
    ) -> Result<Tokens, Refusal> {
        let life_s = self.limits.access_token_s;
        Ok(Tokens {
            access_token: self.access.issue(user.id, session, now, life_s)?,
            refresh_token,
            expires_in_s: life_s,
            user,
        })
    }

    pub(super) fn refresh_ends_at(&self, now: Timestamp) -> Timestamp {
        now.plus_ms(self.limits.refresh_token_s.saturating_mul(1000))
    }

    fn unrevoked(&self, now: Timestamp, identity: Identity) -> Result<Identity, Refusal> {
        if self.revoked.contains(now, identity.session) {
            Err(not_valid())
        } else {
            Ok(identity)
        }
    }
}
