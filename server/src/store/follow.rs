//! `fanfare store check --follow`: a reader that owns nothing reads all logs
//! again and again by the rule for such readers, and reports every row that
//! it was shown and that later says something else or is gone.

use std::time::Duration;

use anyhow::Context as _;
use fanfare_engine::audit::{Finding, Shown};
use fanfare_engine::port::{Order, RowRange, StoreError};
use fanfare_engine::reader::settled;
use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::{
    COPY_PART, COPY_ROWS, FOLLOW_FINDINGS_MAX, FOLLOW_PAUSE_MS, FOLLOW_ROWS_PER_LOG_MAX,
};
use fanfare_storage::Ports;
use tokio::signal::unix::{SignalKind, signal};

use super::report::Counted;
use crate::progress::Progress;

/// Follows all logs until SIGINT or SIGTERM, or for `seconds`.
///
/// # Errors
/// When signals cannot be waited for. A store that does not answer is asked
/// again.
pub async fn follow(
    ports: &Ports,
    seconds: Option<u64>,
) -> anyhow::Result<(Counted, Vec<Finding>)> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut follower = Follower {
        ports,
        shown: Shown::new(FOLLOW_ROWS_PER_LOG_MAX),
        counted: Counted::default(),
        findings: Vec::new(),
        progress: Progress::of("store check"),
        passes: 0,
        failures: 0,
        held_back: 0,
        unsettled: 0,
    };
    let until = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        never = follower.run() => match never {},
        () = until => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    follower
        .progress
        .say(format_args!("followed; {}", follower.line()));
    Ok((follower.counted, follower.findings))
}

struct Follower<'a> {
    ports: &'a Ports,
    shown: Shown,
    counted: Counted,
    findings: Vec<Finding>,
    progress: Progress,
    /// Times that all logs were read.
    passes: u64,
    /// Reads that failed.
    failures: u64,
    /// Rows that may still be replaced and were not shown, each as often as it was
    /// read.
    held_back: u64,
    /// Logs that could not be judged because an activation was under way.
    unsettled: u64,
}

impl Follower<'_> {
    async fn run(&mut self) -> std::convert::Infallible {
        loop {
            if let Err(error) = self.pass().await {
                self.failures += 1;
                tracing::warn!(%error, "the store does not answer");
            }
            tokio::time::sleep(Duration::from_millis(FOLLOW_PAUSE_MS)).await;
        }
    }

    async fn pass(&mut self) -> Result<(), StoreError> {
        let (mut from, mut conversations) = (None, 0);
        loop {
            let census = &self.ports.census;
            let part = census.all_conversations(from.clone(), COPY_PART).await?;
            for id in part.items {
                conversations += 1;
                if let Err(error) = self.look(id).await {
                    self.failures += 1;
                    tracing::warn!(%error, conversation = %id, "a log cannot be read");
                }
            }
            let line = self.line();
            self.progress.tell(|| line);
            from = part.next;
            if from.is_none() {
                self.passes += 1;
                self.counted.conversations = conversations;
                return Ok(());
            }
        }
    }

    /// Reads the rows that are remembered of a log and what came since.
    async fn look(&mut self, conversation: ConversationId) -> Result<(), StoreError> {
        let log = &self.ports.log;
        let (from, last) = match self.shown.range(conversation) {
            Some(range) => range,
            // The newest of what is there.
            None => {
                let head = log.head(conversation).await?.map_or(0, |head| head.seq);
                let from = head.saturating_sub(FOLLOW_ROWS_PER_LOG_MAX as u64) + 1;
                (from, from - 1)
            }
        };
        let range = RowRange {
            conversation,
            from,
            to: u64::MAX,
            limit: FOLLOW_ROWS_PER_LOG_MAX + COPY_ROWS,
            order: Order::Ascending,
        };
        let rows = log.rows(range).await?;
        let epochs = log.epochs(conversation).await?;
        let old: Vec<_> = rows.iter().filter(|row| row.seq <= last).cloned().collect();
        let read = rows.len();
        let rows = match settled(last, rows, &epochs) {
            Ok(rows) => {
                self.held_back += (read - rows.len()) as u64;
                rows
            }
            Err(_) => {
                self.unsettled += 1;
                old
            }
        };
        let new = rows.iter().filter(|row| row.seq > last).count();
        self.counted.rows += new as u64;
        for finding in self.shown.show(conversation, from, &rows) {
            self.progress.say(&finding);
            if self.findings.len() < FOLLOW_FINDINGS_MAX {
                self.findings.push(finding);
            }
        }
        Ok(())
    }

    fn line(&self) -> String {
        format!(
            "{} rows shown, {} remembered, {} held back, {} passes, {} unsettled, {} reads failed, \
             {} findings",
            self.counted.rows,
            self.shown.count(),
            self.held_back,
            self.passes,
            self.unsettled,
            self.failures,
            self.findings.len()
        )
    }
}
