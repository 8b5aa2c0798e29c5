//! A store in memory that counts its steps and dies at a chosen one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use fanfare_engine::account::{Account, Family};
use fanfare_engine::port::{
    Accounts, Claim, ClaimOutcome, ClaimRow, Names, PortFuture, Scope, StoreError, Tokens,
};
use fanfare_protocol::{SessionId, Timestamp, UserId};
use parking_lot::Mutex;

pub(super) struct Shelf {
    accounts: Mutex<HashMap<UserId, Account>>,
    families: Mutex<HashMap<SessionId, Family>>,
    names: Mutex<HashMap<(Scope, String), ClaimRow>>,
    /// Writes still done before everything fails.
    writes_left: AtomicU64,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            accounts: Mutex::default(),
            families: Mutex::default(),
            names: Mutex::default(),
            writes_left: AtomicU64::new(u64::MAX),
        }
    }
}

impl Shelf {
    /// Everything fails after this many more writes.
    pub(super) fn die_after(&self, writes: u64) {
        self.writes_left.store(writes, Ordering::SeqCst);
    }

    pub(super) fn revive(&self) {
        self.die_after(u64::MAX);
    }

    /// Names whose claims are not settled.
    pub(super) fn unsettled(&self) -> usize {
        let names = self.names.lock();
        names.values().filter(|row| !row.is_settled()).count()
    }

    pub(super) fn accounts(&self) -> usize {
        self.accounts.lock().len()
    }

    pub(super) fn claim_of(&self, scope: Scope, name: &str) -> Option<ClaimRow> {
        self.names.lock().get(&(scope, name.to_owned())).cloned()
    }

    pub(super) fn put(&self, change: impl FnOnce(&mut HashMap<UserId, Account>)) {
        change(&mut self.accounts.lock());
    }

    fn write(&self) -> Result<(), StoreError> {
        let left = self
            .writes_left
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        left.map(|_| ()).map_err(|_| dead())
    }

    fn read(&self) -> Result<(), StoreError> {
        match self.writes_left.load(Ordering::SeqCst) {
            0 => Err(dead()),
            _ => Ok(()),
        }
    }
}

fn dead() -> StoreError {
    StoreError::Unavailable("dead".into())
}

fn swap<K: Eq + Hash, V>(
    map: &mut HashMap<K, V>,
    key: K,
    value: V,
    expected: Option<u64>,
    rev: impl Fn(&V) -> u64,
) -> bool {
    let fits = map.get(&key).map(rev) == expected;
    if fits {
        map.insert(key, value);
    }
    fits
}

impl Accounts for Shelf {
    fn account(&self, user: UserId) -> PortFuture<'_, Option<Account>> {
        Box::pin(async move {
            self.read()?;
            Ok(self.accounts.lock().get(&user).cloned())
        })
    }

    fn accounts(&self, users: Vec<UserId>) -> PortFuture<'_, Vec<Account>> {
        Box::pin(async move {
            self.read()?;
            let accounts = self.accounts.lock();
            Ok(users
                .iter()
                .filter_map(|user| accounts.get(user).cloned())
                .collect())
        })
    }

    fn put_account(&self, account: Account, expected_rev: Option<u64>) -> PortFuture<'_, bool> {
        Box::pin(async move {
            self.write()?;
            let mut accounts = self.accounts.lock();
            let user = account.user.id;
            Ok(swap(&mut accounts, user, account, expected_rev, |a| a.rev))
        })
    }
}

impl Tokens for Shelf {
    fn family(&self, session: SessionId) -> PortFuture<'_, Option<Family>> {
        Box::pin(async move {
            self.read()?;
            Ok(self.families.lock().get(&session).cloned())
        })
    }

    fn put_family(&self, family: Family, expected_rev: Option<u64>) -> PortFuture<'_, bool> {
        Box::pin(async move {
            self.write()?;
            let mut families = self.families.lock();
            let session = family.session;
            Ok(swap(&mut families, session, family, expected_rev, |f| {
                f.rev
            }))
        })
    }
}

impl Names for Shelf {
    fn claim(&self, claim: Claim, now: Timestamp) -> PortFuture<'_, ClaimOutcome> {
        Box::pin(async move {
            self.write()?;
            let mut names = self.names.lock();
            let key = (claim.scope, claim.name);
            match names.get(&key) {
                Some(row) if row.expires_at.is_some_and(|end| end < now) => {}
                Some(row) if row.owner == claim.row.owner => return Ok(ClaimOutcome::Mine),
                Some(row) => return Ok(ClaimOutcome::Taken(row.clone())),
                None => {}
            }
            names.insert(key, claim.row);
            Ok(ClaimOutcome::Mine)
        })
    }

    fn claimed(&self, scope: Scope, name: String) -> PortFuture<'_, Option<ClaimRow>> {
        Box::pin(async move {
            self.read()?;
            Ok(self.names.lock().get(&(scope, name)).cloned())
        })
    }

    fn settle(&self, scope: Scope, name: String, owner: [u8; 16]) -> PortFuture<'_, bool> {
        Box::pin(async move {
            self.write()?;
            let mut names = self.names.lock();
            let row = names
                .get_mut(&(scope, name))
                .filter(|row| row.owner == owner);
            Ok(row.map(|row| row.intent.clear()).is_some())
        })
    }

    fn release(&self, scope: Scope, name: String, owner: [u8; 16]) -> PortFuture<'_, bool> {
        Box::pin(async move {
            self.write()?;
            let mut names = self.names.lock();
            let key = (scope, name);
            let mine = names.get(&key).is_some_and(|row| row.owner == owner);
            Ok(mine && names.remove(&key).is_some())
        })
    }
}
