//! Account flows over a store that may die at any step.

mod profile;
mod register;
mod session;
mod shelf;
mod tokens;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fanfare_engine::secret::DataSecret;
use fanfare_protocol::rest::{Login, Register};
use fanfare_protocol::{Limits, Timestamp};
use shelf::Shelf;

use super::{AccountBook, Clock, Parts, TokenKey};
use crate::rates::Rates;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PASSWORD: &str = "correct horse battery staple";

/// A book over a shelf, at a time that a test moves.
struct House {
    book: AccountBook,
    shelf: Arc<Shelf>,
    now_ms: Arc<AtomicI64>,
}

impl House {
    fn new() -> Self {
        Self::over(Arc::new(Shelf::default()), Rates::off())
    }

    /// Another process over the same data.
    fn over(shelf: Arc<Shelf>, rates: Rates) -> Self {
        let now_ms = Arc::new(AtomicI64::new(1_795_230_204_000));
        let book = AccountBook::new(Parts {
            accounts: shelf.clone(),
            names: shelf.clone(),
            families: shelf.clone(),
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
            shelf,
            now_ms,
        }
    }

    fn restarted(&self) -> Self {
        let again = Self::over(Arc::clone(&self.shelf), Rates::off());
        let now_ms = self.now_ms.load(Ordering::SeqCst);
        again.now_ms.store(now_ms, Ordering::SeqCst);
        again
    }

    fn pass_ms(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
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
