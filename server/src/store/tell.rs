//! How far a copy or a check is, once a second: by conversations, since these
//! are counted beforehand, with rows beside them.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fanfare_protocol::limits::PROGRESS_MS;
use fanfare_storage::copy::Tally;

use crate::progress::{Progress, percent};

/// Never ends. `todo` is what is going to be done, `doing` what is done.
pub async fn tell(tally: &Tally, progress: &Progress, todo: &str, doing: &str) -> Infallible {
    tally.counted.notified().await;
    // A copy that goes on has some already.
    let mut rows_before = tally.rows.load(Ordering::Relaxed);
    let all = tally.all.load(Ordering::Relaxed);
    progress.say(format_args!("{all} conversations to {todo}"));
    loop {
        tokio::time::sleep(Duration::from_millis(PROGRESS_MS)).await;
        let verifying = tally.verifying.load(Ordering::Relaxed);
        let all = tally.all.load(Ordering::Relaxed);
        // Both sides are read again.
        let (doing, all) = if verifying {
            ("verified", 2 * all)
        } else {
            (doing, all)
        };
        let done = percent(tally.conversations.load(Ordering::Relaxed), all);
        let rows = tally.rows.load(Ordering::Relaxed);
        let rate = rows.saturating_sub(rows_before) * 1000 / PROGRESS_MS;
        progress.say(format_args!(
            "{doing} {done} % of {all} conversations, {rows} rows, {rate} rows/s, after {:.0} s",
            progress.seconds()
        ));
        rows_before = rows;
    }
}
