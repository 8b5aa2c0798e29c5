//! Profiles: users as everybody sees them, and names to ids.

use std::collections::HashMap;

use fanfare_engine::check;
use fanfare_engine::port::Scope;
use fanfare_protocol::limits::CAS_ATTEMPTS_MAX;
use fanfare_protocol::rest::UpdateMe;
use fanfare_protocol::user::User;
use fanfare_protocol::{Refusal, UserId};
use parking_lot::Mutex;

use super::book::AccountBook;

impl AccountBook {
    /// One user.
    ///
    /// # Errors
    /// `not_found`; what the store says.
    pub async fn user(&self, user: UserId) -> Result<User, Refusal> {
        let account = self.accounts.account(user).await?;
        let account = account.ok_or_else(|| Refusal::not_found("user"))?;
        Ok(account.user)
    }

    /// Several users in the order asked for; unknown ones are left out.
    ///
    /// # Errors
    /// What the store says.
    pub async fn users(&self, users: Vec<UserId>) -> Result<Vec<User>, Refusal> {
        let accounts = self.accounts.accounts(users).await?;
        Ok(accounts.into_iter().map(|account| account.user).collect())
    }

    /// Changes one's own profile. Values are absolute: a repeat does no harm.
    ///
    /// # Errors
    /// `invalid_request` naming the field; what the store says.
    pub async fn update_me(&self, me: UserId, update: UpdateMe) -> Result<User, Refusal> {
        let update = check::profile(&update)?;
        for _ in 0..CAS_ATTEMPTS_MAX {
            let account = self.accounts.account(me).await?;
            let mut account = account.ok_or_else(|| Refusal::not_found("user"))?;
            if let Some(name) = &update.display_name {
                account.user.display_name.clone_from(name);
            }
            if let Some(bio) = &update.bio {
                account.user.bio = (!bio.is_empty()).then(|| bio.clone());
            }
            let rev = account.rev;
            account.rev += 1;
            let user = account.user.clone();
            if self.accounts.put_account(account, Some(rev)).await? {
                return Ok(user);
            }
        }
        Err(Refusal::unavailable(
            "this account changes too often at once",
        ))
    }

    /// Ids of usernames, in any case; unknown ones are left out. For the
    /// mentions in one message: `names` is short.
    ///
    /// # Errors
    /// What the store says.
    pub async fn resolve(&self, names: &[String]) -> Result<HashMap<String, UserId>, Refusal> {
        let mut found = HashMap::new();
        for name in names {
            let name = name.to_ascii_lowercase();
            if found.contains_key(&name) {
                continue;
            }
            if let Some(user) = self.usernames.get(&name) {
                found.insert(name, user);
            } else if let Some(user) = self.owner_of(Scope::Username, &name).await? {
                self.usernames.insert(name.clone(), user);
                found.insert(name, user);
            }
        }
        Ok(found)
    }
}

/// Usernames met lately. Two generations: when the young one is full, it
/// becomes the old one, and what nobody asked for meanwhile is forgotten.
/// Only settled names: they never change hands.
pub(super) struct Usernames {
    generations: Mutex<Generations>,
    young_max: usize,
}

#[derive(Default)]
struct Generations {
    young: HashMap<String, UserId>,
    old: HashMap<String, UserId>,
}

impl Usernames {
    pub(super) fn new(names_max: usize) -> Self {
        Self {
            generations: Mutex::default(),
            young_max: names_max / 2,
        }
    }

    fn get(&self, name: &str) -> Option<UserId> {
        let mut generations = self.generations.lock();
        if let Some(user) = generations.young.get(name) {
            return Some(*user);
        }
        let (name, user) = generations.old.remove_entry(name)?;
        self.put(&mut generations, name, user);
        Some(user)
    }

    fn insert(&self, name: String, user: UserId) {
        self.put(&mut self.generations.lock(), name, user);
    }

    fn put(&self, generations: &mut Generations, name: String, user: UserId) {
        if generations.young.len() >= self.young_max {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(name, user);
    }
}

#[cfg(test)]
mod tests {
    use fanfare_protocol::UserId;
    use uuid::Uuid;

    use super::Usernames;

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_asked_for() {
        let names = Usernames::new(8);
        let user = |n: u128| UserId(Uuid::from_u128(n));
        names.insert("alice".into(), user(0));
        for n in 1..100 {
            names.insert(format!("u{n}"), user(n));
            assert_eq!(names.get("alice"), Some(user(0)), "after {n}");
            let generations = names.generations.lock();
            assert!(generations.young.len() + generations.old.len() <= 8);
        }
        assert_eq!(names.get("u1"), None);
        assert_eq!(names.get("u99"), Some(user(99)));
    }
}
