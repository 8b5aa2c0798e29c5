//! For operators and probes: `/livez`, `/readyz`, `/metrics`,
//! `/api/v1/health`. Without credentials.

use fanfare_protocol::{Code, Refusal};
use serde_json::json;
use warp::{Filter as _, path};

use super::answer::{ok, refused, text};
use super::ask::{Group, v1};
use crate::Health;

pub(super) fn routes(health: &Health) -> Group {
    let live = path!("livez")
        .and(warp::get())
        .map(|| text("live\n".to_owned()));
    let ready = {
        let ready = health.ready.clone();
        path!("readyz").and(warp::get()).map(move || match ready() {
            Ok(()) => text("ready\n".to_owned()),
            Err(why) => refused(&not_ready(&why)),
        })
    };
    let metrics = {
        let metrics = health.metrics.clone();
        path!("metrics")
            .and(warp::get())
            .map(move || text(metrics()))
    };
    let api = {
        let ready = health.ready.clone();
        v1().and(path!("health")).and(warp::get()).map(move || {
            let answer = match ready() {
                Ok(()) => ok(json!({ "status": "ready" })),
                Err(why) => Err(not_ready(&why)),
            };
            answer.unwrap_or_else(|refusal| refused(&refusal))
        })
    };
    live.or(ready)
        .unify()
        .or(metrics)
        .unify()
        .or(api)
        .unify()
        .boxed()
}

fn not_ready(why: &str) -> Refusal {
    Refusal::new(Code::Unavailable, format!("not ready: {why}"))
        .after_ms(fanfare_protocol::limits::RETRY_AFTER_MS)
}
