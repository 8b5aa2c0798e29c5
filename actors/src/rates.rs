//! Rate limits of this node: per address, account, user and session.
//! Sizes and queues are bounded elsewhere and always; these can be off.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};

use fanfare_protocol::{Code, Limits, Refusal, SessionId, UserId};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

/// All rate limits, or none (`rates = "off"`).
pub struct Rates(Option<Tables>);

struct Tables {
    auth: Table<IpAddr>,
    login: Table<[u8; 16]>,
    requests: Table<IpAddr>,
    commands: Table<UserId>,
    frames: Table<SessionId>,
}

impl Rates {
    /// The limits of the configuration. Per minute: all of a minute may come
    /// at once. Per second: those of ten seconds may come at once.
    pub fn on(limits: &Limits) -> Self {
        let keys_max = limits.rate_keys_max;
        let per_min = |n: u32| Quota::per_minute(at_least_one(n));
        let per_s = |n: u32| {
            let burst = at_least_one(n.saturating_mul(10));
            Quota::per_second(at_least_one(n)).allow_burst(burst)
        };
        Self(Some(Tables {
            auth: Table::new(per_min(limits.auth_per_address_per_min), keys_max),
            login: Table::new(per_min(limits.login_per_account_per_min), keys_max),
            requests: Table::new(per_s(limits.requests_per_address_per_s), keys_max),
            commands: Table::new(per_s(limits.commands_per_user_per_s), keys_max),
            frames: Table::new(per_s(limits.frames_per_session_per_s), keys_max),
        }))
    }

    /// No limits: load generators come from one address.
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether there are limits.
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// One log-in, registration or refresh from an address.
    ///
    /// # Errors
    /// `rate_limited`, as for all of these.
    pub fn auth(&self, address: IpAddr) -> Result<(), Refusal> {
        self.check(|tables| tables.auth.check(&network(address)))
    }

    /// One attempt to log into an account (named as it was given) from an
    /// address.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn login(&self, account: &str, address: IpAddr) -> Result<(), Refusal> {
        self.check(|tables| tables.login.check(&pair(account, network(address))))
    }

    /// One request from an address.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn request(&self, address: IpAddr) -> Result<(), Refusal> {
        self.check(|tables| tables.requests.check(&network(address)))
    }

    /// One command of a user, over whatever it came.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn command(&self, user: UserId) -> Result<(), Refusal> {
        self.check(|tables| tables.commands.check(&user))
    }

    /// One frame of a session.
    ///
    /// # Errors
    /// `rate_limited`: the session used up ten seconds' worth and is closed
    /// with 4101.
    pub fn frame(&self, session: SessionId) -> Result<(), Refusal> {
        self.check(|tables| tables.frames.check(&session))
    }

    fn check(&self, one: impl FnOnce(&Tables) -> Result<(), u64>) -> Result<(), Refusal> {
        let Some(tables) = &self.0 else {
            return Ok(());
        };
        one(tables).map_err(|ms| Refusal::new(Code::RateLimited, "too many at once").after_ms(ms))
    }
}

/// The part of an address that one customer has: all of IPv4, a /64 of IPv6.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
    }
}

/// One limit and its keys. The limiter never forgets a key by itself, so
/// every so many checks those that are as good as new are dropped; if too
/// many are left even so, all are.
struct Table<K: Hash + Eq + Clone> {
    quota: Quota,
    limiter: RwLock<DefaultKeyedRateLimiter<K>>,
    keys_max: usize,
    checks: AtomicUsize,
}

impl<K: Hash + Eq + Clone> Table<K> {
    fn new(quota: Quota, keys_max: usize) -> Self {
        Self {
            quota,
            limiter: RwLock::new(RateLimiter::keyed(quota)),
            keys_max,
            checks: AtomicUsize::new(0),
        }
    }

    /// `Err`: milliseconds until one more is allowed.
    fn check(&self, key: &K) -> Result<(), u64> {
        let between = (self.keys_max / 4).max(1);
        let count = self.checks.fetch_add(1, Ordering::Relaxed);
        if count % between == between - 1 {
            self.clean(self.keys_max - between);
        }
        let limiter = self.limiter.read();
        limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)
        })
    }

    fn clean(&self, keep_max: usize) {
        {
            let limiter = self.limiter.read();
            limiter.retain_recent();
            limiter.shrink_to_fit();
            if limiter.len() <= keep_max {
                return;
            }
        }
        tracing::warn!(
            keys_max = self.keys_max,
            "rate limits begin anew: too many keys"
        );
        *self.limiter.write() = RateLimiter::keyed(self.quota);
    }
}

fn at_least_one(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN)
}

/// What was typed as a name may be long; its hash is not.
fn pair(account: &str, address: IpAddr) -> [u8; 16] {
    let mut hash = Sha256::new();
    match address {
        IpAddr::V4(address) => hash.update(address.octets()),
        IpAddr::V6(address) => hash.update(address.octets()),
    }
    hash.update(account.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_runs_out_and_another_does_not() {
        let rates = Rates::on(&Limits::default());
        let per_min = Limits::default().auth_per_address_per_min;
        for _ in 0..per_min {
            rates.auth(address("192.0.2.1")).unwrap();
        }
        let refusal = rates.auth(address("192.0.2.1")).unwrap_err();
        assert_eq!(refusal.code, Code::RateLimited);
        assert!(
            refusal
                .retry_after_ms
                .is_some_and(|ms| (1..=1000).contains(&ms))
        );
        rates.auth(address("192.0.2.2")).unwrap();
    }

    #[test]
    fn somebody_elses_attempts_lock_nobody_out() {
        let rates = Rates::on(&Limits::default());
        let attacker = address("192.0.2.1");
        let attempts = (0..100).filter(|_| rates.login("alice", attacker).is_ok());
        assert_eq!(attempts.count(), 10);
        rates.login("alice", address("192.0.2.2")).unwrap();
        rates.login("bob", attacker).unwrap();
    }

    #[test]
    fn a_customer_of_ipv6_has_one_network() {
        let one = network(address("2001:db8:1:2:3:4:5:6"));
        assert_eq!(one, network(address("2001:db8:1:2::1")));
        assert_ne!(one, network(address("2001:db8:1:3::1")));
        assert_eq!(network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn keys_are_bounded() {
        let limits = Limits {
            rate_keys_max: 100,
            ..Limits::default()
        };
        let Some(tables) = Rates::on(&limits).0 else {
            unreachable!()
        };
        for n in 0..10_000_u128 {
            let user = UserId(uuid::Uuid::from_u128(n));
            tables.login.check(&n.to_be_bytes()).unwrap();
            tables.commands.check(&user).unwrap();
            assert!(tables.login.limiter.read().len() <= 100);
            assert!(tables.commands.limiter.read().len() <= 100);
        }
    }

    #[test]
    fn off_is_off() {
        let rates = Rates::off();
        assert!((0..100_000).all(|_| rates.auth(address("192.0.2.1")).is_ok()));
    }
}
