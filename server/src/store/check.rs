//! `fanfare store check`: is every log what it should be, and everything
//! else what its log says? Reads only.

use anyhow::{Context as _, bail};
use fanfare_engine::audit::{Audit, Finding, Verdict};
use fanfare_engine::member::{MemberRow, Membership};
use fanfare_engine::port::StoreError;
use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::{COPY_CONVERSATIONS_AT_ONCE, COPY_PART, COPY_READS_AT_ONCE};
use fanfare_storage::Ports;
use fanfare_storage::copy::{Item, Items, Tally, is_unfinished};
use fanfare_storage::cql::CqlOptions;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

use super::follow::follow;
use super::place::{Location, Store};
use super::report::{Counted, print};
use super::tell::tell;
use crate::args::Check;
use crate::progress::Progress;

/// Checks a store and prints what was found. True if nothing was.
///
/// # Errors
/// A sentence for people.
pub async fn check(location: &Location, options: CqlOptions, wish: &Check) -> anyhow::Result<bool> {
    let store = Store::open(location, options).await?;
    let ports = store.ports();
    if is_unfinished(&ports)
        .await
        .context("cannot read the store")?
    {
        bail!("cannot check {location} because a copy into it did not end: run it again");
    }
    let (counted, findings) = if wish.follow {
        follow(&ports, wish.seconds).await?
    } else {
        let (tally, progress) = (Tally::default(), Progress::of("store check"));
        tokio::select! {
            checked = Box::pin(check_all(&ports, &tally)) => checked.context("cannot read the store")?,
            never = tell(&tally, &progress, "check", "checked") => match never {},
        }
    };
    store.close().await?;
    print(&counted, &findings, wish.json)
}

async fn check_all(ports: &Ports, tally: &Tally) -> Result<(Counted, Vec<Finding>), StoreError> {
    let (mut counted, mut findings) = (Counted::default(), Vec::new());
    tally.count(ports).await?;
    let mut from = None;
    loop {
        let part = tally.again(|| ports.census.all_conversations(from.clone(), COPY_PART));
        let part = part.await?;
        let checks = part.items.into_iter().map(|id| check_one(ports, id, tally));
        let checks = stream::iter(checks.collect::<Vec<_>>());
        let mut checks = checks.buffer_unordered(COPY_CONVERSATIONS_AT_ONCE);
        while let Some((one, found)) = checks.try_next().await? {
            counted.add(&one);
            findings.extend(found);
            tally.add_conversation();
        }
        from = part.next;
        if from.is_none() {
            return Ok((counted, findings));
        }
    }
}

async fn check_one(
    ports: &Ports,
    conversation: ConversationId,
    tally: &Tally,
) -> Result<(Counted, Vec<Finding>), StoreError> {
    let mut to = u64::MAX;
    loop {
        let (counted, verdict) = audit(ports, conversation, to, tally).await?;
        match verdict {
            Verdict::Judged(findings) => return Ok((counted, findings)),
            Verdict::EndsBefore(seq) => to = seq.saturating_sub(1),
        }
    }
}

async fn audit(
    ports: &Ports,
    conversation: ConversationId,
    to: u64,
    tally: &Tally,
) -> Result<(Counted, Verdict), StoreError> {
    let mut audit = Audit::new(conversation, None);
    let mut epochs = Vec::new();
    let mut counted = Counted {
        conversations: 1,
        not_clean: 1,
        ..Counted::default()
    };
    let mut items = Items::of(ports, conversation, to);
    while let Some(item) = tally.again(async || items.next().await).await? {
        match item {
            Item::Head(head) => {
                audit = Audit::new(conversation, Some(head));
                counted.not_clean = u64::from(!head.is_clean());
            }
            Item::Rows(rows) => {
                counted.rows += rows.len() as u64;
                tally.add_rows(rows.len());
                counted.messages = rows.last().map_or(counted.messages, |row| row.mno);
                if !rows.iter().all(|row| audit.row(row)) {
                    items.skip_rows();
                }
            }
            Item::Epochs(rows) => {
                counted.epochs = rows.len() as u64;
                epochs = rows;
            }
            Item::Record(meta) => audit.record(Some(*meta)),
            Item::Members(members) => {
                counted.members += members.len() as u64;
                let sides = other_sides(ports, &members, tally).await?;
                for (member, side) in members.iter().zip(sides) {
                    audit.member(member.user, member.row, side);
                }
            }
            Item::Mentions(mentions) => {
                counted.mentions += mentions.len() as u64;
                for (user, message, on) in mentions {
                    audit.mention(user, message, on);
                }
            }
            Item::Marks(marks) => {
                counted.marks += marks.len() as u64;
                for (user, marks) in marks {
                    audit.marks(user, marks);
                }
            }
        }
    }
    Ok((counted, audit.finish(&epochs)))
}

/// The same memberships as the lists of conversations of these users have them.
async fn other_sides(
    ports: &Ports,
    members: &[Membership],
    tally: &Tally,
) -> Result<Vec<Option<MemberRow>>, StoreError> {
    let reads = members.iter().map(|member| async move {
        let before = member.conversation.0.as_u128().checked_sub(1);
        let before = before.map(|id| ConversationId(Uuid::from_u128(id)));
        let members = &ports.members;
        let page = tally.again(|| members.conversations_of(member.user, before, 1));
        let listed = page.await?.pop();
        let listed = listed.filter(|listed| listed.conversation == member.conversation);
        Ok(listed.map(|listed| listed.row))
    });
    let reads = stream::iter(reads.collect::<Vec<_>>());
    reads.buffered(COPY_READS_AT_ONCE).try_collect().await
}
