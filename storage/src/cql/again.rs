//! Sending a plain write again, word for word, while nobody knows about it.
//! It lies under fixed keys and timestamps: twice is as good as once.

use std::iter;
use std::time::Duration;

use fanfare_engine::port::StoreError;
use fanfare_protocol::limits::{CQL_AGAIN_MS, CQL_REQUEST_MS, CQL_WRITE_ATTEMPTS};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use scylla::errors::ExecutionError;

use super::error::{Fault, write_error};

/// Sends, and sends again when the connection broke, or when no answer came
/// for a while and `may_repeat`. The first yes settles it.
///
/// # Errors
/// What the last answer says, or that the outcome is unknown: when an earlier
/// try may have happened, or nobody answered in time.
pub(crate) async fn until_answered<T, F>(
    send: impl Fn() -> F,
    may_repeat: impl Fn() -> bool,
) -> Result<(), StoreError>
where
    F: Future<Output = Result<T, ExecutionError>>,
{
    let patience = Duration::from_millis(CQL_REQUEST_MS);
    let answer = tokio::time::timeout(patience, until_yes(send, may_repeat)).await;
    answer.unwrap_or_else(|_| {
        let why = format!("no server answered within {CQL_REQUEST_MS} ms");
        Err(StoreError::OutcomeUnknown(why))
    })
}

async fn until_yes<T, F>(
    send: impl Fn() -> F,
    may_repeat: impl Fn() -> bool,
) -> Result<(), StoreError>
where
    F: Future<Output = Result<T, ExecutionError>>,
{
    let mut tries: FuturesUnordered<F> = iter::once(send()).collect();
    let (mut uncertain, mut left) = (false, CQL_WRITE_ATTEMPTS - 1);
    loop {
        let pause = tokio::time::sleep(Duration::from_millis(CQL_AGAIN_MS));
        tokio::select! {
            biased;
            Some(answer) = tries.next() => {
                let Err(error) = answer else { return Ok(()) };
                let fault = Fault::of(&error);
                let broke = fault == Fault::Broken && left > 0;
                if tries.is_empty() && !broke {
                    return Err(write_error(&error, uncertain));
                }
                uncertain |= fault.may_have_happened();
                if !broke {
                    continue;
                }
            }
            () = pause, if left > 0 && may_repeat() => {}
        }
        left -= 1;
        metrics::counter!("fanfare_store_writes_repeated_total").increment(1);
        tries.push(send());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use scylla::errors::{DbError, RequestAttemptError};
    use tokio::time::Instant;

    use super::*;

    /// What becomes of one try.
    #[derive(Clone, Copy)]
    enum Fate {
        /// Yes, after so many milliseconds.
        Yes(u64),
        /// The server refuses, after so many.
        No(u64),
        /// The server does not know, after so many.
        Perhaps(u64),
        /// No answer.
        Silence,
    }

    async fn meets(fate: Fate) -> Result<(), ExecutionError> {
        let (ms, error) = match fate {
            Fate::Yes(ms) => (ms, None),
            Fate::No(ms) => (ms, Some(DbError::Invalid)),
            Fate::Perhaps(ms) => (ms, Some(DbError::ServerError)),
            Fate::Silence => (u64::MAX / 2, None),
        };
        tokio::time::sleep(Duration::from_millis(ms)).await;
        match error {
            None => Ok(()),
            Some(error) => Err(RequestAttemptError::DbError(error, "said".into()).into()),
        }
    }

    /// The outcome in a word, when it came, and how often it was sent.
    async fn outcome(fates: &[Fate], may_repeat: bool) -> (&'static str, u64, usize) {
        let (sent, start) = (Cell::new(0), Instant::now());
        let send = || {
            let fate = fates[sent.replace(sent.get() + 1)];
            meets(fate)
        };
        let outcome = match until_answered(send, || may_repeat).await {
            Ok(()) => "yes",
            Err(error) if error.may_have_happened() => "unknown",
            Err(_) => "no",
        };
        let took = u64::try_from(start.elapsed().as_millis()).unwrap();
        (outcome, took, sent.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_costs_half_a_second() {
        use Fate::{No, Perhaps, Silence, Yes};
        const AGAIN: u64 = CQL_AGAIN_MS;
        type Case<'a> = (&'a [Fate], bool, (&'static str, u64, usize));
        let table: &[Case<'_>] = &[
            (&[Yes(3)], true, ("yes", 3, 1)),
            (&[Silence, Yes(3)], true, ("yes", AGAIN + 3, 2)),
            (&[Yes(AGAIN + 2), Silence], true, ("yes", AGAIN + 2, 2)),
            // Nothing is refused as long as another try may stand.
            (&[Yes(AGAIN + 9), No(3)], true, ("yes", AGAIN + 9, 2)),
            (
                &[No(AGAIN + 9), Perhaps(3)],
                true,
                ("unknown", AGAIN + 9, 2),
            ),
            (&[No(AGAIN + 9), No(3)], true, ("no", AGAIN + 9, 2)),
            (&[No(3)], true, ("no", 3, 1)),
            (&[Perhaps(3)], true, ("unknown", 3, 1)),
            (&[Silence; 3], true, ("unknown", CQL_REQUEST_MS, 3)),
            (&[Silence], false, ("unknown", CQL_REQUEST_MS, 1)),
            (&[Yes(AGAIN * 2)], false, ("yes", AGAIN * 2, 1)),
        ];
        for (number, (fates, may_repeat, expected)) in table.iter().enumerate() {
            assert_eq!(outcome(fates, *may_repeat).await, *expected, "{number}");
        }
    }
}
