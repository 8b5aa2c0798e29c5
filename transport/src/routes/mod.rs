//! HTTP routes, one file per feature. A route takes an [`ask::Ask`] apart,
//! calls the gateway and shapes the answer; nothing is decided here.

mod answer;
mod ask;
mod auth;
mod conversations;
mod cors;
mod health;
mod messages;
mod participants;
#[cfg(test)]
mod tests;
mod users;
mod websocket;

use warp::filters::BoxedFilter;
use warp::http::Response;
use warp::{Filter as _, Reply};

use crate::TransportParts;
use answer::not_routed;

/// A finished answer.
pub(crate) type Answered = Response<String>;

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
        .boxed();
    let origins = parts.origins.clone();
    health::routes(&parts.health)
        .or(websocket::route(&parts))
        .unify()
        .or(cors::preflight(&parts.origins))
        .unify()
        .or(api)
        .unify()
        .recover(
            |rejection| async move { Ok::<_, std::convert::Infallible>(not_routed(&rejection)) },
        )
        .unify()
        .and(warp::header::optional::<String>("origin"))
        .map(move |answer, origin: Option<String>| cors::allow(answer, origin.as_deref(), &origins))
        .boxed()
}
