//! REST: one request per connection, typed refusals, JSON as it came.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::SOON;
use super::dial::dial;

/// An answer before anybody judged it.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; `Null` when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// Why a request or a command did not do what was asked.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The code of the protocol, or `lost` when no answer came.
    pub code: String,
    /// HTTP status; 0 over a socket and when no answer came.
    pub status: u16,
    /// The whole error object.
    pub error: Value,
}

impl Refusal {
    /// Reads the protocol's error object.
    pub fn of(status: u16, error: &Value) -> Self {
        let code = error["code"].as_str().unwrap_or("no code").to_owned();
        Self {
            code,
            status,
            error: error.clone(),
        }
    }

    /// No answer came.
    pub fn lost(why: impl std::fmt::Display) -> Self {
        Self {
            code: "lost".into(),
            status: 0,
            error: Value::String(why.to_string()),
        }
    }

    pub fn is_lost(&self) -> bool {
        self.code == "lost"
    }

    /// Whether the same command with the same key may succeed later.
    pub fn is_worth_retrying(&self) -> bool {
        self.is_lost() || self.error["retryable"] == true
    }

    /// The reason given for `field`.
    pub fn detail(&self, field: &str) -> Option<&str> {
        self.error["details"][field].as_str()
    }
}

/// A client, with a token or without.
#[derive(Debug, Clone)]
pub struct Rest {
    address: SocketAddr,
    token: Option<String>,
}

impl Rest {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            token: None,
        }
    }

    /// The same with a bearer token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            address: self.address,
            token: Some(token.to_owned()),
        }
    }

    pub async fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.call("GET", path, None, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Refusal> {
        self.call("POST", path, Some(body), None).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Result<Value, Refusal> {
        self.call("PATCH", path, Some(body), None).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value, Refusal> {
        self.call("DELETE", path, None, None).await
    }

    /// A request below `/api/v1`; gives the whole body (`{"data", "meta"?}`).
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        key: Option<&str>,
    ) -> Result<Value, Refusal> {
        let answer = self.answer(method, path, body, key).await?;
        let json = answer.json();
        if (200..300).contains(&answer.status) {
            Ok(json)
        } else {
            Err(Refusal::of(answer.status, &json["error"]))
        }
    }

    /// The same, unjudged.
    pub async fn answer(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        key: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let headers: Vec<(&str, &str)> = key.iter().map(|key| ("idempotency-key", *key)).collect();
        let path = format!("/api/v1{path}");
        self.try_raw(
            method,
            &path,
            &headers,
            body.map(|body| body.to_string().into_bytes()),
        )
        .await
    }

    /// Any request to any path with any body; `lost` when no answer comes in time.
    pub async fn try_raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, Refusal> {
        let exchange = self.exchange(method, path, headers, body);
        match tokio::time::timeout(SOON, exchange).await {
            Ok(answer) => answer.map_err(Refusal::lost),
            Err(_) => Err(Refusal::lost("no answer in time")),
        }
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let stream = dial(self.address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some()
            && !headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = sender
            .send_request(request.body(Full::new(Bytes::from(body.unwrap_or_default())))?)
            .await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok(Answer {
            status: head.status.as_u16(),
            body,
        })
    }
}

/// All messages of a conversation, page by page, ascending.
pub async fn history(rest: &Rest, conversation: &str) -> Result<Vec<Value>, Refusal> {
    history_after(rest, conversation, 0).await
}

/// Those behind the seq `after`.
pub async fn history_after(
    rest: &Rest,
    conversation: &str,
    after: u64,
) -> Result<Vec<Value>, Refusal> {
    let mut messages: Vec<Value> = Vec::new();
    let mut after = after.to_string();
    loop {
        let page = rest
            .get(&format!(
                "/conversations/{conversation}/messages?after={after}&limit=100"
            ))
            .await?;
        let rows = page["data"].as_array().cloned().unwrap_or_default();
        let next = page["meta"]["nextCursor"].as_str().map(str::to_owned);
        let last = rows.last().map(|message| message["seq"].to_string());
        messages.extend(rows);
        match next.or(last) {
            Some(next) => after = next,
            None => return Ok(messages),
        }
    }
}
