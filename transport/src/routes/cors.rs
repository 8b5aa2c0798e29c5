//! CORS, from the same list of origins that may open sockets.

use warp::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderValue, VARY,
};
use warp::http::{Method, Response, StatusCode};
use warp::{Filter as _, Reply};

use super::ask::Group;
use crate::ws::handshake::AllowedOrigins;

/// Answers a browser's question before a request of another origin. An
/// origin that is not listed gets no permission.
pub(super) fn preflight(origins: &AllowedOrigins) -> Group {
    let origins = origins.clone();
    // Not `warp::options()`: it would call every path "known by another method".
    let question = warp::method().and_then(|method: Method| async move {
        if method == Method::OPTIONS {
            Ok(())
        } else {
            Err(warp::reject::not_found())
        }
    });
    question
        .untuple_one()
        .and(warp::header::<String>("origin"))
        .and(warp::header::<String>("access-control-request-method"))
        .map(move |origin: String, _: String| {
            let mut answer = Response::new(String::new());
            let listed = origins.lists(&origin);
            *answer.status_mut() = if listed {
                StatusCode::NO_CONTENT
            } else {
                StatusCode::FORBIDDEN
            };
            if listed {
                let headers = answer.headers_mut();
                let methods = HeaderValue::from_static("GET, POST, PATCH, DELETE");
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
                let names =
                    HeaderValue::from_static("authorization, content-type, idempotency-key");
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
                headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            }
            answer
        })
        .boxed()
}

/// Lets a listed origin read an answer.
pub(super) fn allow(
    answer: impl Reply,
    origin: Option<&str>,
    origins: &AllowedOrigins,
) -> warp::reply::Response {
    let mut answer = answer.into_response();
    let listed = origin.filter(|origin| origins.lists(origin));
    if let Some(value) = listed.and_then(|origin| HeaderValue::from_str(origin).ok()) {
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("retry-after"),
        );
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    answer
}
