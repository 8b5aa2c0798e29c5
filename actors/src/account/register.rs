//! Registration. Two unique names and one account cannot be written at once,
//! so the claims carry the whole account as their intent: username, e-mail,
//! account, settle both. Whoever meets a claim that is not settled finishes
//! it in the same way, so a crash between any two steps orphans no name.
//!
//! **Invariant:** a claimed e-mail address is never released, only usernames
//! are. So every finisher of one registration comes to the same end.

use std::net::IpAddr;

use fanfare_engine::account::Account;
use fanfare_engine::check::{self, Registration};
use fanfare_engine::codec::{decode, encode};
use fanfare_engine::port::{Claim, ClaimOutcome, ClaimRow, Scope, StoreError};
use fanfare_engine::secret::Fingerprint;
use fanfare_protocol::limits::{CAS_ATTEMPTS_MAX, IDEMPOTENT_OUTSIDE_MS};
use fanfare_protocol::rest::{Register, Tokens};
use fanfare_protocol::user::{GlobalRole, User};
use fanfare_protocol::{Code, Refusal, UserId};
use secrecy::SecretString;

use super::book::AccountBook;
use super::seams::new_id;

/// What became of a registration.
pub struct Registered {
    /// The account and its first log-in (each repeat begins one of its own).
    pub tokens: Tokens,
    /// Whether the same request had succeeded before: 200 in place of 201.
    pub repeated: bool,
}

/// A request that passed all checks.
struct Wish {
    names: Registration,
    password: SecretString,
    /// Stands for the idempotency key and for the request without its
    /// password: a fast hash of a password must never be stored.
    once: Option<(Fingerprint, Fingerprint)>,
}

/// How far one registration came.
enum Finished {
    /// The account exists, both names are settled.
    Made,
    /// One of its names is somebody else's; its own claims are gone.
    Refused,
}

impl AccountBook {
    /// Creates an account and logs in.
    ///
    /// Usernames are public, so `already_exists` names the field. It does so
    /// for e-mail addresses too: without a mail to the address there is no
    /// other way to tell its owner, and guessing is limited per address.
    ///
    /// # Errors
    /// `invalid_request` naming the field; `already_exists` naming the field;
    /// `idempotency_conflict` when the key came with another body within
    /// 24 h; `rate_limited`; `outcome_unknown` when the store failed midway
    /// (a repeat finishes it).
    pub async fn register(
        &self,
        request: Register,
        key: Option<&str>,
        address: IpAddr,
    ) -> Result<Registered, Refusal> {
        let wish = self.wish(request, key)?;
        self.rates.auth(address)?;
        self.claim_key(&wish).await?;
        let mut made: Option<Account> = None;
        for _ in 0..CAS_ATTEMPTS_MAX {
            // Also before the first attempt: a hash is dear.
            if let Some(registered) = self.standing(&wish, made.as_ref()).await? {
                return Ok(registered);
            }
            let account = match made.take() {
                Some(account) => account,
                None => self.draft(&wish).await?,
            };
            if let Finished::Made = self.finish(&account).await? {
                let tokens = self.begin(account).await?;
                return Ok(Registered {
                    tokens,
                    repeated: false,
                });
            }
            made = Some(account);
        }
        Err(Refusal::unavailable("others want the same names right now"))
    }

    /// The account that has a name; finishes the registration behind it if
    /// that was interrupted.
    pub(super) async fn owner_of(
        &self,
        scope: Scope,
        name: &str,
    ) -> Result<Option<UserId>, Refusal> {
        for _ in 0..CAS_ATTEMPTS_MAX {
            let Some(row) = self.names.claimed(scope, name.to_owned()).await? else {
                return Ok(None);
            };
            if row.is_settled() {
                return Ok(Some(UserId::from_bytes(row.owner)));
            }
            let account: Account = decode(&row.intent).map_err(StoreError::from)?;
            tracing::info!(user = %account.user.id, "finishing a registration that was interrupted");
            self.finish(&account).await?;
        }
        Err(Refusal::unavailable("others want the same name right now"))
    }

    fn wish(&self, request: Register, key: Option<&str>) -> Result<Wish, Refusal> {
        let names = check::registration(&request)?;
        let once = key.map(|key| {
            let body = [
                b"registration request".as_slice(),
                request.username.as_bytes(),
                request.email.as_bytes(),
                request.display_name.as_deref().unwrap_or("").as_bytes(),
            ];
            let key = self.secret.hash(&[b"registration key", key.as_bytes()]);
            (key, self.secret.hash(&body))
        });
        Ok(Wish {
            names,
            password: request.password.into(),
            once,
        })
    }

    /// Binds the key to the request: the claim's owner is the request itself.
    async fn claim_key(&self, wish: &Wish) -> Result<(), Refusal> {
        let Some((key, request)) = wish.once else {
            return Ok(());
        };
        let now = self.clock.now();
        let claim = Claim {
            scope: Scope::Request,
            name: key.0.iter().map(|byte| format!("{byte:02x}")).collect(),
            row: ClaimRow {
                owner: request.0,
                intent: bytes::Bytes::new(),
                expires_at: Some(now.plus_ms(IDEMPOTENT_OUTSIDE_MS)),
            },
        };
        match self.names.claim(claim, now).await? {
            ClaimOutcome::Mine => Ok(()),
            ClaimOutcome::Taken(_) => Err(key_conflict()),
        }
    }

    /// The answer when one of the names is settled: the repeat of a
    /// registration that succeeded, or the refusal.
    async fn standing(
        &self,
        wish: &Wish,
        made: Option<&Account>,
    ) -> Result<Option<Registered>, Refusal> {
        for (scope, name, field) in [
            (Scope::Username, &wish.names.username_claim, "username"),
            (Scope::Email, &wish.names.email, "email"),
        ] {
            let Some(owner) = self.owner_of(scope, name).await? else {
                continue;
            };
            let account = self.accounts.account(owner).await?;
            let Some(account) = account else {
                tracing::error!(user = %owner, field, "a settled name without its account");
                return Err(Refusal::internal());
            };
            if made.is_some_and(|made| made.user.id == owner) {
                // Somebody else finished this very registration.
                let tokens = self.begin(account).await?;
                let repeated = false;
                return Ok(Some(Registered { tokens, repeated }));
            }
            if wish.once.is_none() || account.registered != wish.once {
                return Err(taken(field));
            }
            let hash = account.password.clone();
            if !self.passwords.fits(wish.password.clone(), hash).await? {
                return Err(key_conflict());
            }
            let tokens = self.begin(account).await?;
            let repeated = true;
            return Ok(Some(Registered { tokens, repeated }));
        }
        Ok(None)
    }

    async fn draft(&self, wish: &Wish) -> Result<Account, Refusal> {
        let password = self.passwords.hash(wish.password.clone()).await?;
        let now = self.clock.now();
        Ok(Account {
            user: User {
                id: UserId(new_id(now)?),
                username: wish.names.username.clone(),
                display_name: wish.names.display_name.clone(),
                avatar: None,
                bio: None,
                role: GlobalRole::User,
                verified: false,
                created_at: now,
            },
            email: Some(wish.names.email.clone()),
            password: Some(password),
            rev: 0,
            deactivated_at: None,
            registered: wish.once,
        })
    }

    /// Brings one registration to its end, from wherever it stands. Any
    /// number may do so at once.
    async fn finish(&self, account: &Account) -> Result<Finished, Refusal> {
        let owner = *account.user.id.as_bytes();
        let username = account.user.username.to_ascii_lowercase();
        let intent = encode(account).map_err(StoreError::from)?;
        let claim = |scope, name: &str| {
            let row = ClaimRow {
                owner,
                intent: intent.clone(),
                expires_at: None,
            };
            let name = name.to_owned();
            self.names
                .claim(Claim { scope, name, row }, self.clock.now())
        };
        if let ClaimOutcome::Taken(_) = claim(Scope::Username, &username).await? {
            return Ok(Finished::Refused);
        }
        // From here on others may finish it: a failure is no clean refusal.
        if let Some(email) = &account.email
            && let ClaimOutcome::Taken(_) = claim(Scope::Email, email).await.map_err(midway)?
        {
            self.names
                .release(Scope::Username, username, owner)
                .await
                .map_err(midway)?;
            return Ok(Finished::Refused);
        }
        // `false`: another finisher wrote it.
        self.accounts
            .put_account(account.clone(), None)
            .await
            .map_err(midway)?;
        if let Some(email) = &account.email {
            self.names
                .settle(Scope::Email, email.clone(), owner)
                .await
                .map_err(midway)?;
        }
        // Last, so that a settled username is the end of it.
        self.names
            .settle(Scope::Username, username, owner)
            .await
            .map_err(midway)?;
        Ok(Finished::Made)
    }
}

fn midway(error: StoreError) -> Refusal {
    tracing::warn!(%error, "a registration was interrupted");
    Refusal::outcome_unknown()
}

fn key_conflict() -> Refusal {
    Refusal::new(
        Code::IdempotencyConflict,
        "this key was used for another registration",
    )
}

fn taken(field: &str) -> Refusal {
    let mut refusal = Refusal::new(Code::AlreadyExists, format!("this {field} is taken"));
    refusal.details.insert(field.to_owned(), "taken".to_owned());
    refusal
}
