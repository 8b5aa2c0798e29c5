//! Races, as far as they show from outside: each is run often, with both orders
//! possible, and judged by ACCESS and EQUAL, never by who was faster.

use serde_json::Value;

use crate::harness::Refusal;

mod kicks;
mod once;
mod rooms;

/// The answer, or the code of the refusal.
fn outcome(result: Result<Value, Refusal>) -> Result<Value, String> {
    result.map_err(|refusal| refusal.code)
}
