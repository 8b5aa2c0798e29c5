//! CORS, from the same list of origins that may open sockets.

use warp::Filter as _;
use warp::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderValue, VARY,
};
use warp::http::{Method, StatusCode};

use super::Answered;
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
        .and(warp::header::value("origin"))
        .and(warp::header::value("access-control-request-method"))
        .map(move |origin: HeaderValue, _| {
            let mut answer = Answered::default();
            let listed = lists(&origins, &origin);
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
    mut answer: Answered,
    origin: Option<&HeaderValue>,
    origins: &AllowedOrigins,
) -> Answered {
    let headers = answer.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin.filter(|origin| lists(origins, origin)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("retry-after"),
        );
    }
    answer
}

fn lists(origins: &AllowedOrigins, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| origins.lists(origin))
}
