//! Answers: `{"data", "meta"?}` or `{"error"}`, always JSON.

use fanfare_protocol::Refusal;
use fanfare_protocol::rest::{Answer, Meta};
use serde::Serialize;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{Response, StatusCode};

use super::Answered;

/// 200 with a body.
pub(super) fn ok<T: Serialize>(data: T) -> Result<Answered, Refusal> {
    with(StatusCode::OK, data, None)
}

/// 201, or 200 when it was there already.
pub(super) fn created<T: Serialize>(data: T, repeated: bool) -> Result<Answered, Refusal> {
    with(
        if repeated {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        },
        data,
        None,
    )
}

/// A page of a list.
pub(super) fn page<T: Serialize>(data: T, meta: Meta) -> Result<Answered, Refusal> {
    with(StatusCode::OK, data, Some(meta))
}

/// 204.
pub(super) fn nothing() -> Result<Answered, Refusal> {
    Ok(answer(StatusCode::NO_CONTENT, String::new()))
}

/// The refusal with its code's status.
pub(super) fn refused(refusal: &Refusal) -> Answered {
    let status = StatusCode::from_u16(refusal.code.status());
    let mut answer = error(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), refusal);
    if let Some(ms) = refusal.retry_after_ms {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
    }
    if answer.status() == StatusCode::UNAUTHORIZED {
        answer
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

/// An error under a status of its own.
pub(super) fn error(status: StatusCode, refusal: &Refusal) -> Answered {
    #[derive(Serialize)]
    struct Failed<'a> {
        error: &'a Refusal,
    }
    match serde_json::to_string(&Failed { error: refusal }) {
        Ok(body) => answer(status, body),
        Err(error) => {
            tracing::error!(%error, "refusal not encoded");
            answer(StatusCode::INTERNAL_SERVER_ERROR, String::new())
        }
    }
}

/// Text for operators and probes.
pub(super) fn text(body: String) -> Answered {
    let mut answer = answer(StatusCode::OK, body);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn with<T: Serialize>(
    status: StatusCode,
    data: T,
    meta: Option<Meta>,
) -> Result<Answered, Refusal> {
    let body = serde_json::to_string(&Answer { data, meta }).map_err(|error| {
        tracing::error!(%error, "answer not encoded");
        Refusal::internal()
    })?;
    Ok(answer(status, body))
}

fn answer(status: StatusCode, body: String) -> Answered {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    if status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use fanfare_protocol::Code;

    use super::*;

    #[test]
    fn a_refusal_has_its_codes_status_and_headers() {
        let answer = refused(&Refusal::new(Code::RateLimited, "slowly").after_ms(1001));
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()[RETRY_AFTER], "2");
        let answer = refused(&Refusal::new(Code::TokenExpired, "ended"));
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        let start = r#"{"error":{"code":"token_expired""#;
        assert!(answer.body().starts_with(start), "{}", answer.body());
    }
}
