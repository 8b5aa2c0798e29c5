//! Passwords: Argon2id on blocking threads, a bounded number at once.

use std::cell::RefCell;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::password_hash::{CustomizedPasswordHasher, Error as HashError, phc};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, PasswordVerifier, Version};
use fanfare_engine::account::PasswordHash;
use fanfare_protocol::limits::RETRY_AFTER_MS;
use fanfare_protocol::{Code, Limits, Refusal};
use parking_lot::Mutex;
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
    kept: Arc<Mutex<Vec<Blocks>>>,
}

/// What one hash is computed in.
type Blocks = Vec<Block>;

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
            kept: Arc::default(),
        }
    }

    /// Hashes a password with a fresh salt.
    ///
    /// # Errors
    /// `rate_limited` when too many wait; `internal` when hashing fails.
    pub async fn hash(&self, password: SecretString) -> Result<PasswordHash, Refusal> {
        self.compute(move |hasher| {
            let hash = hasher.hash_password(password.expose_secret().as_bytes())?;
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
        self.compute(move |hasher| {
            let phc = hash.as_ref().map_or(NOBODYS, PasswordHash::expose);
            let phc = phc::PasswordHash::new(phc)?;
            let verified = hasher.verify_password(password.expose_secret().as_bytes(), &phc);
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
        work: impl FnOnce(&Hasher) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let permit = self.turn().await?;
        let kept = Arc::clone(&self.kept);
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work is done, also when nobody waits for it.
            let _permit = permit;
            let hasher = Hasher(RefCell::new(kept.lock().pop().unwrap_or_default()));
            let done = work(&hasher);
            kept.lock().push(hasher.0.into_inner());
            done
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

/// Argon2id in memory that is there for the next hash again, as often as hashes are
/// computed at once. An allocator that gets pieces of 19 MiB back keeps them, too, but
/// once or twice for every thread that ever hashed (glibc).
struct Hasher(RefCell<Blocks>);

impl PasswordHasher<phc::PasswordHash> for Hasher {
    fn hash_password_with_salt(
        &self,
        password: &[u8],
        salt: &[u8],
    ) -> Result<phc::PasswordHash, HashError> {
        self.hash_password_customized(password, salt, None, None, params()?)
    }
}

impl CustomizedPasswordHasher<phc::PasswordHash> for Hasher {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> Result<phc::PasswordHash, HashError> {
        let algorithm = algorithm.map_or(Ok(Algorithm::Argon2id), Algorithm::try_from)?;
        let version = version.map_or(Ok(Version::V0x13), Version::try_from)?;
        let written = ParamsString::try_from(&params)?;
        let mut blocks = self.0.borrow_mut();
        blocks.resize(params.block_count(), Block::default());
        let mut hash = [0; Params::DEFAULT_OUTPUT_LEN];
        Argon2::new(algorithm, version, params).hash_password_into_with_memory(
            password,
            salt,
            &mut hash,
            &mut blocks[..],
        )?;
        Ok(phc::PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: written,
            salt: Some(Salt::new(salt)?),
            hash: Some(Output::new(&hash)?),
        })
    }
}

/// 19 MiB, two passes, one lane: the first recommendation of the OWASP
/// Password Storage Cheat Sheet for Argon2id.
fn params() -> Result<Params, HashError> {
    Ok(Params::new(19_456, 2, 1, None)?)
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
    async fn memory_of_one_hash_is_that_of_the_next() {
        let limits = Limits {
            password_hashes_at_once: 2,
            ..Limits::default()
        };
        let passwords = Passwords::new(&limits);
        let hash = || async { passwords.hash(secret("correct horse")).await.unwrap() };
        let hashes = futures_util::future::join_all((0..6).map(|_| hash())).await;
        assert!((1..=2).contains(&passwords.kept.lock().len()));
        // What the last one left there changes nothing.
        for hash in hashes {
            assert!(argon2_alone(&hash), "{}", hash.expose());
        }
    }

    fn argon2_alone(hash: &PasswordHash) -> bool {
        let verified = Argon2::default().verify_password(b"correct horse", hash.expose());
        verified.is_ok()
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
