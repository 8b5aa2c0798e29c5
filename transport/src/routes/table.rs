//! Every route in one place, and what is answered where there is none.
//!
//! **Invariant:** a filter that is not in this table, or a line without a
//! filter, fails a test (`crate::tests::routes`).

use fanfare_protocol::{Code, Refusal};
use warp::http::header::{ALLOW, HeaderValue};
use warp::http::{Method, StatusCode};

use super::Answered;
use super::answer::{error, refused};

/// Method and path of every route; a segment that begins with a colon stands
/// for any.
pub(crate) const ROUTES: [(&str, &str); 37] = [
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/ws"),
    ("GET", "/api/v1/health"),
    ("POST", "/api/v1/auth/register"),
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/refresh"),
    ("POST", "/api/v1/auth/logout"),
    ("POST", "/api/v1/auth/ticket"),
    ("POST", "/api/v1/session"),
    ("GET", "/api/v1/session/events"),
    ("POST", "/api/v1/session/:id/frames"),
    ("GET", "/api/v1/users/me"),
    ("PATCH", "/api/v1/users/me"),
    ("GET", "/api/v1/users/:id"),
    ("POST", "/api/v1/conversations"),
    ("GET", "/api/v1/conversations"),
    ("GET", "/api/v1/conversations/by-slug/:slug"),
    ("GET", "/api/v1/conversations/:id"),
    ("PATCH", "/api/v1/conversations/:id"),
    ("DELETE", "/api/v1/conversations/:id"),
    ("POST", "/api/v1/conversations/:id/join"),
    ("POST", "/api/v1/conversations/:id/leave"),
    ("POST", "/api/v1/conversations/:id/read"),
    ("GET", "/api/v1/conversations/:id/participants"),
    ("POST", "/api/v1/conversations/:id/participants"),
    ("PATCH", "/api/v1/conversations/:id/participants/:userId"),
    ("DELETE", "/api/v1/conversations/:id/participants/:userId"),
    ("POST", "/api/v1/conversations/:id/messages"),
    ("GET", "/api/v1/conversations/:id/messages"),
    ("GET", "/api/v1/messages/:id"),
    ("PATCH", "/api/v1/messages/:id"),
    ("DELETE", "/api/v1/messages/:id"),
    ("GET", "/api/v1/messages/:id/history"),
    ("POST", "/api/v1/messages/:id/reactions"),
    ("DELETE", "/api/v1/messages/:id/reactions/:emoji"),
];

/// What no filter took: 404 where no path is, 405 with `Allow` where one is
/// for other methods. Both say `not_found`: with this method, nothing is
/// there.
pub(super) fn not_routed(method: &Method, path: &str) -> Answered {
    let known: Vec<&str> = ROUTES
        .iter()
        .filter(|(_, template)| fits(template, path))
        .map(|(method, _)| *method)
        .collect();
    if known.is_empty() {
        return refused(&Refusal::not_found("route"));
    }
    if known.contains(&method.as_str()) {
        // Its filter wants what the accept loop puts into every request.
        tracing::error!(%method, path, "a route did not take its request");
        return refused(&Refusal::internal());
    }
    let refusal = Refusal::new(Code::NotFound, "not with this method");
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, &refusal);
    if let Ok(allowed) = HeaderValue::try_from(known.join(", ")) {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template
            .zip(path)
            .all(|(known, asked)| known == asked || (known.starts_with(':') && !asked.is_empty()))
}
