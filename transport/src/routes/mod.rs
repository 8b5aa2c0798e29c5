//! HTTP routes, one file per feature. A route takes an [`ask::Ask`] apart,
//! calls the gateway and shapes the answer; nothing is decided here.

mod answer;
mod ask;
mod auth;
mod conversations;
mod cors;
mod health;
mod media;
mod messages;
mod participants;
mod session;
pub(crate) mod table;
mod users;
mod websocket;

use warp::filters::BoxedFilter;
use warp::http::header::ORIGIN;
use warp::http::{HeaderMap, Response};
use warp::path::FullPath;
use warp::{Filter as _, Reply};

use crate::TransportParts;
use table::not_routed;

/// An answer, not yet in bytes.
pub(crate) type Answered = Response<answer::Content>;

/// Every route of the server.
pub fn routes(parts: TransportParts) -> BoxedFilter<(impl Reply,)> {
    let asks = ask::Asks::new(&parts);
    let api = auth::routes(&asks)
        .or(users::routes(&asks))
        .unify()
        .or(conversations::routes(&asks))
        .unify()
        .or(participants::routes(&asks))
        .unify()
        .or(messages::routes(&asks))
        .unify()
        .or(session::routes(&asks))
        .unify()
        .boxed();
    let origins = parts.origins.clone();
    let nothing = warp::method()
        .and(warp::path::full())
        .map(|method, path: FullPath| not_routed(&method, path.as_str()));
    health::routes(&parts.health)
        .or(websocket::route(&parts))
        .unify()
        .or(cors::preflight(&parts.origins))
        .unify()
        .or(api)
        .unify()
        .or(nothing)
        .unify()
        .and(warp::header::headers_cloned())
        .map(move |answer: Answered, asked: HeaderMap| {
            let answer = cors::allow(answer, asked.get(ORIGIN), &origins);
            answer::sent(answer, media::wanted(&asked))
        })
        .boxed()
}
