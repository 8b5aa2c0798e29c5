//! `fanfare seed`: users without passwords and conversations between them,
//! for load tests and demos, written through the ports of a stopped server.
//! Conversation *c* has the users *c·K … c·K + K − 1* (modulo N), the first
//! its owner. What is written and in which order: [`conversation`].

mod conversation;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use fanfare_actors::account::{AccessTokens, Clock, new_id, random};
use fanfare_engine::account::{Account, Family};
use fanfare_engine::port::{Claim, ClaimOutcome, ClaimRow, Names, Scope};
use fanfare_engine::secret::Fingerprint;
use fanfare_protocol::limits::{PROGRESS_MS, SEED_TOKEN_S, SEED_WRITES_AT_ONCE};
use fanfare_protocol::user::{GlobalRole, User};
use fanfare_protocol::{ConversationId, Limits, SessionId, Timestamp, UserId};
use fanfare_storage::Ports;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use crate::args::Seed;
use crate::config::Config;
use crate::open::open;

/// Makes what was asked for in the data of a stopped server, and the file
/// that says who is who.
///
/// # Errors
/// A sentence for people.
pub async fn seed(config: &Config, wish: &Seed) -> anyhow::Result<()> {
    fits(wish)?;
    // Emptied only once there is something to write.
    let out = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        // It holds tokens.
        .mode(0o600)
        .open(&wish.out)
        .with_context(|| format!("cannot write {}", wish.out.display()))?;
    let opened = open(config).await?;
    let garden = Garden {
        access: AccessTokens::new(&opened.key),
        ports: opened.ports.clone(),
        limits: config.limits.clone(),
        clock: Clock::wall(),
        life_s: wish.token_ttl.unwrap_or(SEED_TOKEN_S),
        done: AtomicU64::new(0),
    };
    let planted = {
        let all = wish.users + wish.conversations;
        tokio::select! {
            planted = garden.plant(wish) => planted,
            never = garden.tell(all) => match never {},
        }
    };
    // Writes what waits; blocks until then.
    let closed = tokio::task::spawn_blocking(move || drop(opened)).await;
    let lines = planted?;
    closed.context("cannot close the data")?;
    out.set_len(0)
        .and_then(|()| write(&lines, BufWriter::new(out)))
        .with_context(|| format!("cannot write {}", wish.out.display()))?;
    say(format_args!(
        "made {} users and {} conversations; who they are stands in {}",
        wish.users,
        wish.conversations,
        wish.out.display()
    ));
    Ok(())
}

/// One line of the file.
#[derive(Debug, Serialize)]
struct Line {
    user: UserId,
    username: String,
    token: String,
    conversations: Vec<ConversationId>,
}

struct Garden {
    access: AccessTokens,
    ports: Ports,
    limits: Limits,
    clock: Clock,
    life_s: u64,
    /// Users and conversations written so far.
    done: AtomicU64,
}

fn fits(wish: &Seed) -> anyhow::Result<()> {
    if wish.conversations > 0 && wish.members > wish.users {
        bail!(
            "cannot seed because {} members do not fit {} users; give --members at most that",
            wish.members,
            wish.users
        );
    }
    Ok(())
}

impl Garden {
    async fn plant(&self, wish: &Seed) -> anyhow::Result<Vec<Line>> {
        let first = self.ports.names.claimed(Scope::Username, username(0));
        if first.await?.is_some() {
            bail!(
                "cannot seed because these data have seeded users already; \
                 choose others with --data (--cql-keyspace on CQL)"
            );
        }
        let mut lines: Vec<Line> = stream::iter(0..wish.users)
            .map(|n| self.user(n))
            .buffered(SEED_WRITES_AT_ONCE)
            .try_collect()
            .await?;
        let users: Vec<UserId> = lines.iter().map(|line| line.user).collect();
        let conversations: Vec<ConversationId> = stream::iter(0..wish.conversations)
            .map(|c| self.conversation(c, wish.members, &users))
            .buffered(SEED_WRITES_AT_ONCE)
            .try_collect()
            .await?;
        for (c, id) in (0..).zip(conversations) {
            for user in members(c, wish.members, wish.users) {
                if let Some(line) = lines.get_mut(user) {
                    line.conversations.push(id);
                }
            }
        }
        Ok(lines)
    }

    /// An account, its log-in, its name: in this order, so that a settled
    /// name has its account.
    async fn user(&self, n: u64) -> anyhow::Result<Line> {
        let now = self.clock.now();
        let user = UserId(new_id(now)?);
        let username = username(n);
        let account = Account {
            user: User {
                id: user,
                username: username.clone(),
                display_name: username.clone(),
                avatar: None,
                bio: None,
                role: GlobalRole::User,
                verified: false,
                created_at: now,
            },
            email: None,
            password: None,
            rev: 0,
            deactivated_at: None,
            registered: None,
        };
        if !self.ports.accounts.put_account(account, None).await? {
            bail!("cannot make {username} because its new id is taken");
        }
        let token = self.log_in(user, now).await?;
        let names = self.ports.names.as_ref();
        claim(names, Scope::Username, &username, *user.as_bytes(), now).await?;
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(Line {
            user,
            username,
            token,
            conversations: Vec::new(),
        })
    }

    /// A log-in that only its access token proves: nobody has a refresh
    /// token with this fingerprint.
    async fn log_in(&self, user: UserId, now: Timestamp) -> anyhow::Result<String> {
        let session = SessionId(new_id(now)?);
        let family = Family {
            session,
            user,
            current: Fingerprint(random()?),
            previous: None,
            rotated_at: now,
            expires_at: now.plus_ms(self.life_s.saturating_mul(1000)),
            revoked_at: None,
            rev: 0,
        };
        if !self.ports.tokens.put_family(family, None).await? {
            bail!("cannot log a user in because the new session's id is taken");
        }
        Ok(self.access.issue(user, session, now, self.life_s)?)
    }

    /// Never ends: how far it is, once a second.
    async fn tell(&self, all: u64) -> std::convert::Infallible {
        let start = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(PROGRESS_MS)).await;
            let done = self.done.load(Ordering::Relaxed);
            say(format_args!(
                "{done} of {all} after {} s",
                start.elapsed().as_secs()
            ));
        }
    }
}

fn username(n: u64) -> String {
    format!("seed-{:06}", n + 1)
}

/// Indexes of the users of conversation `c`.
fn members(c: u64, per_conversation: u64, users: u64) -> impl Iterator<Item = usize> {
    (0..per_conversation).filter_map(move |k| {
        let index = (u128::from(c) * u128::from(per_conversation) + u128::from(k))
            .checked_rem(u128::from(users))?;
        usize::try_from(index).ok()
    })
}

async fn claim(
    names: &dyn Names,
    scope: Scope,
    name: &str,
    owner: [u8; 16],
    now: Timestamp,
) -> anyhow::Result<()> {
    let claim = Claim {
        scope,
        name: name.to_owned(),
        row: ClaimRow {
            owner,
            intent: bytes::Bytes::new(),
            expires_at: None,
        },
    };
    match names.claim(claim, now).await? {
        ClaimOutcome::Mine => Ok(()),
        ClaimOutcome::Taken(_) => bail!(
            "cannot make {name} because somebody has that name; \
             choose other data with --data (--cql-keyspace on CQL)"
        ),
    }
}

fn write(lines: &[Line], mut out: impl Write) -> std::io::Result<()> {
    for line in lines {
        serde_json::to_writer(&mut out, line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Progress goes to stderr, where a missing reader does no harm.
fn say(line: std::fmt::Arguments<'_>) {
    writeln!(std::io::stderr(), "fanfare seed: {line}").ok();
}

#[cfg(test)]
#[path = "seed/tests.rs"]
mod tests;
