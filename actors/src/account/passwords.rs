//! Passwords: Argon2id on blocking threads, a bounded number at once.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use argon2::password_hash::Error as HashError;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use fanfare_engine::account::PasswordHash;
use fanfare_protocol::limits::RETRY_AFTER_MS;
use fanfare_protocol::{Code, Limits, Refusal};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Stands in where there is no hash: of the same cost, and no password
/// has it (the chance that one hashes to zeros is 2⁻²⁵⁶).
const NOBODYS: &str = concat!(
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
);

/// Computes and checks hashes. Hashing is expensive by design, so it is also
/// an attack: at most one per core at once, a short queue, then
/// `rate_limited`.
pub struct Passwords {
    at_once: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

impl Passwords {
    /// Takes `password_hashes_at_once` and `password_hashes_waiting_max`.
    pub fn new(limits: &Limits) -> Self {
        let at_once = match limits.password_hashes_at_once {
            0 => available_parallelism().map_or(1, NonZero::get),
            some => some,
        };
        Self {
            at_once: Arc::new(Semaphore::new(at_once)),
            waiting: AtomicUsize::new(0),
            waiting_max: limits.password_hashes_waiting_max,
        }
    }

    /// Hashes a password with a fresh salt.
    ///
    /// # Errors
    /// `rate_limited` when too many wait; `internal` when hashing fails.
    pub async fn hash(&self, password: SecretString) -> Result<PasswordHash, Refusal> {
        self.compute(move || {
            let hash = argon2()?.hash_password(password.expose_secret().as_bytes())?;
            Ok(PasswordHash::new(hash.to_string()))
        })
        .await
    }

    /// Whether the password has this hash. Without a hash the answer is
    /// `false` after the same time.
    ///
    /// # Errors
    /// See [`Self::hash`].
    pub async fn fits(
        &self,
        password: SecretString,
        hash: Option<PasswordHash>,
    ) -> Result<bool, Refusal> {
        self.compute(move || {
            let phc = hash.as_ref().map_or(NOBODYS, PasswordHash::expose);
            let verified = argon2()?.verify_password(password.expose_secret().as_bytes(), phc);
            match verified {
                Ok(()) => Ok(hash.is_some()),
                Err(HashError::PasswordInvalid) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let permit = self.turn().await?;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work is done, also when nobody waits for it.
            let _permit = permit;
            work()
        })
        .await;
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::error!(%error, "password hashing failed");
                Err(Refusal::internal())
            }
            Err(error) => {
                tracing::error!(%error, "password hashing ended early");
                Err(Refusal::internal())
            }
        }
    }

    /// Waits until a hash may be computed.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        if let Ok(permit) = Arc::clone(&self.at_once).try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = Waiting::enter(&self.waiting, self.waiting_max).ok_or_else(|| {
            Refusal::new(Code::RateLimited, "too many log-ins at once").after_ms(RETRY_AFTER_MS)
        })?;
        let permit = Arc::clone(&self.at_once).acquire_owned().await;
        // The semaphore is never closed.
        permit.map_err(|_| Refusal::internal())
    }
}

/// One who waits; leaves when dropped, also when the client has gone.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::AcqRel);
        let waiting = Self(count);
        (before < max).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// 19 MiB, two passes, one lane: the first recommendation of the OWASP
/// Password Storage Cheat Sheet for Argon2id.
fn argon2() -> Result<Argon2<'static>, HashError> {
    let params = Params::new(19_456, 2, 1, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn secret(text: &str) -> SecretString {
        text.to_owned().into()
    }

    #[tokio::test]
    async fn only_its_own_password_fits() {
        let passwords = Passwords::new(&Limits::default());
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let fits = async |text, hash| passwords.fits(secret(text), hash).await.unwrap();
        assert!(fits("correct horse", Some(hash.clone())).await);
        assert!(!fits("correct horsf", Some(hash)).await);
        assert!(!fits("correct horse", None).await);
    }

    #[tokio::test]
    async fn nobodys_hash_costs_the_same() {
        let passwords = Passwords::new(&Limits::default());
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        let mut times = [u128::MAX; 2];
        for _ in 0..5 {
            for (time, hash) in times.iter_mut().zip([Some(hash.clone()), None]) {
                let start = Instant::now();
                passwords.fits(secret("wrong"), hash).await.unwrap();
                *time = start.elapsed().as_micros().min(*time);
            }
        }
        let [known, unknown] = times;
        assert!(known < 3 * unknown && unknown < 3 * known, "{times:?}");
    }

    #[tokio::test]
    async fn a_long_queue_is_refused_and_a_client_that_went_leaves_it() {
        let passwords = Passwords::new(&Limits {
            password_hashes_at_once: 1,
            password_hashes_waiting_max: 1,
            ..Limits::default()
        });
        let running = passwords.turn().await.unwrap();
        let mut waiting = Box::pin(passwords.turn());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let refusal = passwords.hash(secret("third")).await.unwrap_err();
        assert_eq!(refusal.code, Code::RateLimited);
        assert!(refusal.retry_after_ms.is_some());
        drop(waiting);
        let mut waiting = Box::pin(passwords.turn());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(running);
        drop(waiting.await.unwrap());
    }
}
