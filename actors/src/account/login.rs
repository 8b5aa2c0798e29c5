//! Logging in with a password.

use std::net::IpAddr;

use fanfare_engine::account::Account;
use fanfare_engine::check;
use fanfare_engine::port::Scope;
use fanfare_protocol::rest::{Login, Tokens};
use fanfare_protocol::{Code, Refusal, UserId};
use uuid::Uuid;

use super::book::AccountBook;

impl AccountBook {
    /// Logs in by username or e-mail address. An unknown account and a wrong
    /// password get the same answer after the same time. Attempts are limited
    /// per account *and* address, so that nobody can lock somebody else out.
    ///
    /// # Errors
    /// `invalid_credentials`; `invalid_request` for what is too long to be
    /// either; `rate_limited`; what the store says.
    pub async fn login(&self, request: Login, address: IpAddr) -> Result<Tokens, Refusal> {
        let login = check::login(&request)?;
        self.rates.auth(address)?;
        self.rates.login(&login, address)?;
        let account = self.account_of_login(&login).await?;
        let hash = account
            .as_ref()
            .and_then(|account| account.password.clone());
        let fits = self.passwords.fits(request.password.into(), hash).await?;
        match account {
            Some(account) if fits => self.begin(account).await,
            Some(_) | None => Err(Refusal::new(
                Code::InvalidCredentials,
                "unknown user or wrong password",
            )),
        }
    }

    async fn account_of_login(&self, login: &str) -> Result<Option<Account>, Refusal> {
        let scope = if login.contains('@') {
            Scope::Email
        } else {
            Scope::Username
        };
        let owner = self.owner_of(scope, login).await?;
        // Nobody's account is looked up too: the same steps for all.
        let id = owner.unwrap_or(UserId(Uuid::nil()));
        let account = self.accounts.account(id).await?;
        Ok(account.filter(|account| account.deactivated_at.is_none()))
    }
}
