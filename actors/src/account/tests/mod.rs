//! Account flows over a store that may die at any step.

mod profile;
mod register;
mod session;
mod tokens;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fanfare_engine::account::Account;
use fanfare_engine::port::{ClaimRow, Scope};
use fanfare_engine::secret::DataSecret;
use fanfare_protocol::rest::{Login, Register};
use fanfare_protocol::{Limits, Timestamp, UserId};
use fanfare_storage::dying::{self, Switch};
use fanfare_storage::{Memory, Ports};

use super::{AccountBook, Clock, Parts, TokenKey};
use crate::rates::Rates;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PASSWORD: &str = "correct horse battery staple";

/// A book over a store in memory that may die, at a time that a test moves.
struct House {
    book: AccountBook,
    ports: Ports,
    switch: Arc<Switch>,
    now_ms: Arc<AtomicI64>,
}

impl House {
    fn new() -> Self {
        Self::with(Rates::off())
    }

    fn with(rates: Rates) -> Self {
        let (ports, switch) = dying::wrap(Memory::new().ports());
        Self::over(ports, switch, rates, 1_795_230_204_000)
    }

    /// Another process over the same data.
    fn restarted(&self) -> Self {
        let (ports, switch) = (self.ports.clone(), Arc::clone(&self.switch));
        let now_ms = self.now_ms.load(Ordering::SeqCst);
        Self::over(ports, switch, Rates::off(), now_ms)
    }

    fn over(ports: Ports, switch: Arc<Switch>, rates: Rates, now_ms: i64) -> Self {
        let now_ms = Arc::new(AtomicI64::new(now_ms));
        let book = AccountBook::new(Parts {
            accounts: Arc::clone(&ports.accounts),
            names: Arc::clone(&ports.names),
            families: Arc::clone(&ports.tokens),
            secret: DataSecret::new([7; 32]),
            key: TokenKey::new([8; 32]),
            rates: Arc::new(rates),
            clock: Clock::of({
                let now_ms = Arc::clone(&now_ms);
                move || Timestamp(now_ms.load(Ordering::SeqCst))
            }),
            limits: Arc::new(Limits::default()),
        });
        Self {
            book,
            ports,
            switch,
            now_ms,
        }
    }

    fn pass_ms(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    async fn claim_of(&self, scope: Scope, name: &str) -> Option<ClaimRow> {
        let claimed = self.ports.names.claimed(scope, name.to_owned());
        claimed.await.unwrap()
    }

    /// Whether a name is claimed and what it names is complete.
    async fn is_settled(&self, scope: Scope, name: &str) -> bool {
        match self.claim_of(scope, name).await {
            Some(row) if row.is_settled() => {
                let owner = UserId::from_bytes(row.owner);
                self.ports.accounts.account(owner).await.unwrap().is_some()
            }
            Some(_) | None => false,
        }
    }

    /// Changes an account behind the book's back.
    async fn change(&self, user: UserId, change: impl FnOnce(&mut Account)) {
        let account = self.ports.accounts.account(user).await.unwrap();
        let mut account = account.unwrap();
        let rev = account.rev;
        change(&mut account);
        account.rev += 1;
        let put = self.ports.accounts.put_account(account, Some(rev));
        assert!(put.await.unwrap());
    }
}

fn registration(username: &str, email: &str) -> Register {
    Register {
        username: username.to_owned(),
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        display_name: None,
    }
}

fn login(login: &str, password: &str) -> Login {
    Login {
        login: login.to_owned(),
        password: password.to_owned(),
    }
}
