//! Answers: `{"data", "meta"?}` or `{"error"}`, in the codec that was asked
//! for, which only [`sent`] knows.

use bytes::Bytes;
use fanfare_actors::gateway::EventStream;
use fanfare_protocol::codec::Failed;
use fanfare_protocol::rest::{Answer, Meta};
use fanfare_protocol::{Codec, Refusal};
use futures_util::StreamExt as _;
use serde::Serialize;
use warp::Reply as _;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{Response, StatusCode};

use super::{Answered, media};
use crate::accept::ConnectionGuard;

/// What an answer says.
#[derive(Default)]
pub(crate) enum Content {
    /// Nothing.
    #[default]
    Empty,
    /// Text for operators and probes.
    Text(String),
    /// A shape, not yet encoded.
    Shape(Box<dyn Fn(Codec) -> Result<Bytes, Failed> + Send>),
    /// What has no end yet.
    Events(Box<EventStream>, ConnectionGuard),
}

/// 200 with a body.
pub(super) fn ok<T: Serialize + Send + 'static>(data: T) -> Result<Answered, Refusal> {
    Ok(with(StatusCode::OK, data, None))
}

/// 201, or 200 when it was there already.
pub(super) fn created<T: Serialize + Send + 'static>(
    data: T,
    repeated: bool,
) -> Result<Answered, Refusal> {
    let status = if repeated {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok(with(status, data, None))
}

/// 202: taken in; what becomes of it is told elsewhere.
pub(super) fn accepted() -> Result<Answered, Refusal> {
    #[derive(Serialize)]
    struct Nothing {}
    Ok(with(StatusCode::ACCEPTED, Nothing {}, None))
}

/// An event stream. The connection counts as its client's until it ends.
pub(super) fn events(events: EventStream, guard: ConnectionGuard) -> Answered {
    let mut answer = answer(StatusCode::OK, Content::Events(Box::new(events), guard));
    let headers = answer.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(CONTENT_TYPE, kind);
    // What nginx and others understand as: do not gather.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}

/// A page of a list.
pub(super) fn page<T: Serialize + Send + 'static>(
    data: T,
    meta: Meta,
) -> Result<Answered, Refusal> {
    Ok(with(StatusCode::OK, data, Some(meta)))
}

/// 204.
pub(super) fn nothing() -> Result<Answered, Refusal> {
    Ok(answer(StatusCode::NO_CONTENT, Content::Empty))
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
    struct Failure {
        error: Refusal,
    }
    let error = refusal.clone();
    shaped(status, Failure { error })
}

/// Text for operators and probes.
pub(super) fn text(body: String) -> Answered {
    let mut answer = answer(StatusCode::OK, Content::Text(body));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// The answer in bytes.
pub(super) fn sent(answer: Answered, codec: Codec) -> warp::reply::Response {
    let (mut head, content) = answer.into_parts();
    let body = match content {
        Content::Empty => Bytes::new(),
        Content::Text(text) => text.into(),
        Content::Events(events, guard) => {
            let held = events.map(move |part| {
                let _held = &guard;
                part
            });
            let mut answer = warp::reply::stream(held).into_response();
            *answer.status_mut() = head.status;
            *answer.headers_mut() = head.headers;
            return answer;
        }
        Content::Shape(encode) => {
            let kind = HeaderValue::from_static(media::name(codec));
            head.headers.insert(CONTENT_TYPE, kind);
            head.headers
                .append(VARY, HeaderValue::from_static("accept"));
            encode(codec).unwrap_or_else(|error| {
                // Shapes are plain data: a bug, and told to us.
                tracing::error!(?error, "answer not encoded");
                head.status = StatusCode::INTERNAL_SERVER_ERROR;
                Bytes::from_static(codec.empty_object())
            })
        }
    };
    Response::from_parts(head, body).into_response()
}

fn with<T: Serialize + Send + 'static>(
    status: StatusCode,
    data: T,
    meta: Option<Meta>,
) -> Answered {
    shaped(status, Answer { data, meta })
}

fn shaped<T: Serialize + Send + 'static>(status: StatusCode, shape: T) -> Answered {
    let encode = move |codec: Codec| codec.encode(&shape);
    answer(status, Content::Shape(Box::new(encode)))
}

fn answer(status: StatusCode, content: Content) -> Answered {
    let mut answer = Response::new(content);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use fanfare_protocol::Code;
    use http_body_util::BodyExt as _;

    use super::*;

    async fn body(answer: warp::reply::Response) -> Bytes {
        answer.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_refusal_has_its_codes_status_and_headers() {
        let answer = refused(&Refusal::new(Code::RateLimited, "slowly").after_ms(1001));
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()[RETRY_AFTER], "2");
        let answer = refused(&Refusal::new(Code::TokenExpired, "ended"));
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        let answer = sent(answer, Codec::Json);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        let start = br#"{"error":{"code":"token_expired""#;
        let body = body(answer).await;
        assert!(body.starts_with(start), "{body:?}");
    }

    #[tokio::test]
    async fn an_answer_comes_in_the_codec_that_was_asked_for() {
        let answer = sent(with(StatusCode::OK, true, None), Codec::MessagePack);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/msgpack");
        assert_eq!(&body(answer).await[..], b"\x81\xa4data\xc3");
        let refused = refused(&Refusal::new(Code::NotFound, "no"));
        let answer = sent(refused, Codec::MessagePack);
        let start = b"\x81\xa5error\x83\xa4code\xa9not_found";
        let body = body(answer).await;
        assert!(body.starts_with(start), "{body:?}");
    }
}
