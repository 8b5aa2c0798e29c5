//! Claims: names that only one may have, and keys that may be used once.
//! Those of limited life carry a TTL, so that used keys do not gather.

use bytes::Bytes;
use fanfare_engine::codec::{decode, encode};
use fanfare_engine::port::{Claim, ClaimOutcome, ClaimRow, Names, PortFuture, Scope, StoreError};
use fanfare_protocol::Timestamp;
use fanfare_protocol::limits::{
    CLAIM_NAME_BYTES_MAX, CLAIM_TTL_MARGIN_S, CQL_CAS_ROUNDS, CQL_TTL_S_MAX,
};

use super::accounts::perhaps;
use super::error::damaged;
use super::run::Cas;
use super::store::Rows;
use super::value::Value;
use crate::cells::key::scope_byte;

/// A stored claim: decoded, as bytes, and the seconds it has left (0: all).
type Found = (ClaimRow, Bytes, i32);

impl Names for Rows {
    fn claim(&self, claim: Claim, now: Timestamp) -> PortFuture<'_, ClaimOutcome> {
        Box::pin(async move {
            let key = Key::of(claim.scope, claim.name)?;
            let (wanted, ttl) = (encode(&claim.row)?, Value::Int(ttl_s(&claim.row, now)));
            let mut uncertain = false;
            let mut stored = None;
            for _ in 0..CQL_CAS_ROUNDS {
                let cas = match stored {
                    None => {
                        let mut values = key.values();
                        values.extend([wanted.clone().into(), ttl.clone()]);
                        self.compare_and_set(&self.statements.new_claim, values)
                            .await
                    }
                    Some(ended) => self.set_claim(&key, &ttl, &wanted, ended).await,
                };
                match cas {
                    Ok(Cas::Applied) => return Ok(ClaimOutcome::Mine),
                    Ok(Cas::Refused) => {}
                    Ok(Cas::Unknown) => uncertain = true,
                    Err(error) => return Err(perhaps(error, uncertain)),
                }
                let found = self.find_claim(&key).await;
                let found = found.map_err(|error| perhaps(error, uncertain))?;
                stored = match found {
                    Some((holder, bytes, _)) => {
                        let has_ended = holder.expires_at.is_some_and(|end| end < now);
                        if !has_ended && holder.owner == claim.row.owner {
                            return Ok(ClaimOutcome::Mine);
                        }
                        if !has_ended {
                            return Ok(ClaimOutcome::Taken(holder));
                        }
                        Some(bytes)
                    }
                    None => None,
                };
                // The serial read says that ours does not stand.
                uncertain = false;
            }
            Err(no_quiet_moment())
        })
    }

    fn claimed(&self, scope: Scope, name: String) -> PortFuture<'_, Option<ClaimRow>> {
        Box::pin(async move {
            let found = self.find_claim(&Key::of(scope, name)?).await?;
            Ok(found.map(|(row, _, _)| row))
        })
    }

    fn settle(&self, scope: Scope, name: String, owner: [u8; 16]) -> PortFuture<'_, bool> {
        Box::pin(async move {
            let key = Key::of(scope, name)?;
            let mut uncertain = false;
            for _ in 0..CQL_CAS_ROUNDS {
                let found = self.find_claim(&key).await;
                let found = found.map_err(|error| perhaps(error, uncertain))?;
                let (row, bytes, ttl) = match found {
                    Some(found) if found.0.owner == owner => found,
                    _ => return Ok(false),
                };
                if row.is_settled() {
                    return Ok(true);
                }
                let intent = Bytes::new();
                let settled = encode(&ClaimRow { intent, ..row })?;
                match self
                    .set_claim(&key, &Value::Int(ttl), &settled, bytes)
                    .await
                {
                    Ok(Cas::Applied) => return Ok(true),
                    Ok(Cas::Refused) => {}
                    Ok(Cas::Unknown) => uncertain = true,
                    Err(error) => return Err(perhaps(error, uncertain)),
                }
            }
            Err(perhaps(no_quiet_moment(), uncertain))
        })
    }

    fn release(&self, scope: Scope, name: String, owner: [u8; 16]) -> PortFuture<'_, bool> {
        Box::pin(async move {
            let key = Key::of(scope, name)?;
            let mut uncertain = false;
            for _ in 0..CQL_CAS_ROUNDS {
                let found = self.find_claim(&key).await;
                let found = found.map_err(|error| perhaps(error, uncertain))?;
                let bytes = match found {
                    Some((row, bytes, _)) if row.owner == owner => bytes,
                    // It was ours, and a try to give it back may be why it
                    // is gone.
                    _ => return Ok(uncertain),
                };
                let mut values = key.values();
                values.push(bytes.into());
                match self
                    .compare_and_set(&self.statements.drop_claim, values)
                    .await
                {
                    Ok(Cas::Applied) => return Ok(true),
                    Ok(Cas::Refused) => {}
                    Ok(Cas::Unknown) => uncertain = true,
                    Err(error) => return Err(perhaps(error, uncertain)),
                }
            }
            Err(perhaps(no_quiet_moment(), uncertain))
        })
    }
}

impl Rows {
    async fn find_claim(&self, key: &Key) -> Result<Option<Found>, StoreError> {
        let answer = self.read(&self.statements.claim, key.values()).await?;
        let row = answer.maybe_first_row::<(Option<Bytes>, Option<i32>)>();
        match row.map_err(damaged)? {
            Some((Some(claim), ttl)) => Ok(Some((decode(&claim)?, claim, ttl.unwrap_or(0)))),
            _ => Ok(None),
        }
    }

    async fn set_claim(
        &self,
        key: &Key,
        ttl: &Value,
        claim: &Bytes,
        expected: Bytes,
    ) -> Result<Cas, StoreError> {
        let mut values = vec![ttl.clone(), claim.clone().into()];
        values.extend(key.values());
        values.push(expected.into());
        self.compare_and_set(&self.statements.set_claim, values)
            .await
    }
}

/// A claim's key.
struct Key {
    scope: i16,
    name: String,
}

impl Key {
    fn of(scope: Scope, name: String) -> Result<Self, StoreError> {
        if name.len() > CLAIM_NAME_BYTES_MAX {
            let why = format!("a name of {} bytes cannot be claimed", name.len());
            return Err(StoreError::Unavailable(why));
        }
        let scope = i16::from(scope_byte(scope));
        Ok(Self { scope, name })
    }

    fn values(&self) -> Vec<Value> {
        vec![Value::Small(self.scope), Value::Text(self.name.clone())]
    }
}

/// Seconds a claim stays: behind its end by a margin; zero for ever, or for
/// longer than a server is asked for.
fn ttl_s(row: &ClaimRow, now: Timestamp) -> i32 {
    let Some(end) = row.expires_at else { return 0 };
    let left_s = end.0.saturating_sub(now.0).max(0) / 1000;
    let ttl = left_s.saturating_add(CLAIM_TTL_MARGIN_S);
    let asked = Some(ttl).filter(|ttl| *ttl <= CQL_TTL_S_MAX);
    asked.and_then(|ttl| i32::try_from(ttl).ok()).unwrap_or(0)
}

fn no_quiet_moment() -> StoreError {
    StoreError::Unavailable("compare-and-set found no quiet moment".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_outlives_its_end_and_not_for_ever() {
        let until = |end: i64| ClaimRow {
            owner: [1; 16],
            intent: Bytes::new(),
            expires_at: Some(Timestamp(end)),
        };
        let day_ms = 24 * 3600 * 1000;
        assert_eq!(ttl_s(&until(day_ms), Timestamp(0)), 25 * 3600);
        assert_eq!(ttl_s(&until(0), Timestamp(day_ms)), 3600);
        let year_ms = CQL_TTL_S_MAX * 1000;
        let margin_ms = CLAIM_TTL_MARGIN_S * 1000;
        let longest = ttl_s(&until(year_ms - margin_ms), Timestamp(0));
        assert_eq!(i64::from(longest), CQL_TTL_S_MAX);
        for end in [year_ms - margin_ms + 1000, i64::MAX] {
            assert_eq!(ttl_s(&until(end), Timestamp(0)), 0, "{end}");
        }
        let lasting = ClaimRow {
            expires_at: None,
            ..until(0)
        };
        assert_eq!(ttl_s(&lasting, Timestamp(0)), 0);
    }
}
