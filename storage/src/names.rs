//! Claims: names that only one may have, and keys that may be used once.
//! A claim of limited life also stands in a table by its end; each new one
//! clears a few that ended, so that used keys do not gather for ever.

use std::ops::Bound;

use bytes::Bytes;
use fanfare_engine::codec::{decode, encode};
use fanfare_engine::port::{
    Claim, ClaimOutcome, ClaimRow, Names, Order, PortFuture, Scope, StoreError,
};
use fanfare_protocol::Timestamp;
use fanfare_protocol::limits::{CLAIM_NAME_BYTES_MAX, CLAIMS_CLEARED_AT_ONCE};

use crate::cells::key::{Key, Table, key, scope_byte};
use crate::cells::{Change, Range, View};
use crate::log::page;
use crate::tables::Tables;

impl Names for Tables {
    fn claim(&self, claim: Claim, now: Timestamp) -> PortFuture<'_, ClaimOutcome> {
        Box::pin(async move {
            let Claim { scope, name, row } = claim;
            let this = claim_key(scope, &name)?;
            let mut keys = vec![this.clone()];
            let limited = row.expires_at.is_some();
            if let Some(at) = row.expires_at {
                keys.push(end_key(at, &this));
                keys.extend(self.ended(this, now).await?);
            }
            let decide = move |values: &[Option<Bytes>]| {
                let Some((stored, others)) = values.split_first() else {
                    return Err(StoreError::Damaged("a claim without its cell".into()));
                };
                let (change, outcome) = decide_claim(stored.as_ref(), row, now)?;
                let mut changes = vec![change];
                let mut others = others.iter();
                if limited {
                    // Also for a repeat: the first time may have ended halfway.
                    changes.push(match outcome {
                        ClaimOutcome::Mine => Change::Set(Bytes::new()),
                        ClaimOutcome::Taken(_) => Change::Keep,
                    });
                    others.next();
                }
                // Pairs of a claim that ended and its row in the table of ends.
                while let (Some(claim), Some(_)) = (others.next(), others.next()) {
                    let has_ended = match claim {
                        Some(claim) => ended_before(&decode(claim)?, now),
                        None => false,
                    };
                    changes.push(if has_ended {
                        Change::Remove
                    } else {
                        Change::Keep
                    });
                    changes.push(Change::Remove);
                }
                Ok((changes, outcome))
            };
            self.cells.decide(keys, decide).await
        })
    }

    fn claimed(&self, scope: Scope, name: String) -> PortFuture<'_, Option<ClaimRow>> {
        Box::pin(async move {
            let key = claim_key(scope, &name)?;
            match self.cells.fetch(move |view| view.get(&key)).await? {
                Some(stored) => Ok(Some(decode(&stored)?)),
                None => Ok(None),
            }
        })
    }

    fn settle(&self, scope: Scope, name: String, owner: [u8; 16]) -> PortFuture<'_, bool> {
        Box::pin(async move {
            let decide = move |stored: Option<&Bytes>| match owned(stored, owner)? {
                Some(row) if row.is_settled() => Ok((Change::Keep, true)),
                Some(row) => {
                    let settled = ClaimRow {
                        intent: Bytes::new(),
                        ..row
                    };
                    Ok((Change::Set(encode(&settled)?), true))
                }
                None => Ok((Change::Keep, false)),
            };
            self.cells
                .decide_one(claim_key(scope, &name)?, decide)
                .await
        })
    }

    fn release(&self, scope: Scope, name: String, owner: [u8; 16]) -> PortFuture<'_, bool> {
        Box::pin(async move {
            let decide = move |stored: Option<&Bytes>| match owned(stored, owner)? {
                Some(_) => Ok((Change::Remove, true)),
                None => Ok((Change::Keep, false)),
            };
            self.cells
                .decide_one(claim_key(scope, &name)?, decide)
                .await
        })
    }
}

impl Tables {
    /// Keys of a few claims that ended, each with its key in the table of
    /// ends, without `except`.
    async fn ended(&self, except: Key, now: Timestamp) -> Result<Vec<Key>, StoreError> {
        let range = Range {
            from: Bound::Included(key(Table::Ends, &[])),
            to: Bound::Excluded(key(Table::Ends, &[&ordered(now)])),
            order: Order::Ascending,
        };
        let read = move |view: &dyn View| {
            let mut keys = Vec::new();
            page(view, range, CLAIMS_CLEARED_AT_ONCE, |end, _| {
                // Table (1), end (8), then scope and name as in the claim's key.
                let claim = key(Table::Claims, &[end.get(9..).unwrap_or_default()]);
                if claim != except {
                    keys.extend([claim, end.to_vec()]);
                }
                Ok(())
            })?;
            Ok(keys)
        };
        self.cells.fetch(read).await
    }
}

fn decide_claim(
    stored: Option<&Bytes>,
    row: ClaimRow,
    now: Timestamp,
) -> Result<(Change, ClaimOutcome), StoreError> {
    if let Some(stored) = stored {
        let holder: ClaimRow = decode(stored)?;
        if !ended_before(&holder, now) {
            let outcome = if holder.owner == row.owner {
                ClaimOutcome::Mine
            } else {
                ClaimOutcome::Taken(holder)
            };
            return Ok((Change::Keep, outcome));
        }
    }
    Ok((Change::Set(encode(&row)?), ClaimOutcome::Mine))
}

fn ended_before(row: &ClaimRow, now: Timestamp) -> bool {
    row.expires_at.is_some_and(|end| end < now)
}

fn owned(stored: Option<&Bytes>, owner: [u8; 16]) -> Result<Option<ClaimRow>, StoreError> {
    match stored {
        Some(stored) => Ok(Some(decode::<ClaimRow>(stored)?).filter(|row| row.owner == owner)),
        None => Ok(None),
    }
}

fn claim_key(scope: Scope, name: &str) -> Result<Key, StoreError> {
    if name.len() > CLAIM_NAME_BYTES_MAX {
        let why = format!("a name of {} bytes cannot be claimed", name.len());
        return Err(StoreError::Unavailable(why));
    }
    let parts: [&[u8]; 2] = [&[scope_byte(scope)], name.as_bytes()];
    Ok(key(Table::Claims, &parts))
}

fn end_key(end: Timestamp, claim: &[u8]) -> Key {
    let scope_and_name = claim.get(1..).unwrap_or_default();
    key(Table::Ends, &[&ordered(end), scope_and_name])
}

/// Times in byte order, also before 1970.
fn ordered(at: Timestamp) -> [u8; 8] {
    (at.0 ^ i64::MIN).to_be_bytes()
}
