//! What can be said of routes without a node behind them.

use super::*;

#[test]
fn answers() {
    let refusal = fanfare_protocol::Refusal::unavailable("later");
    let answer = answer::refused(&refusal);
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    let refusal = fanfare_protocol::Refusal::new(fanfare_protocol::Code::TokenExpired, "ended");
    let answer = answer::refused(&refusal);
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    assert!(
        answer
            .body()
            .starts_with(r#"{"error":{"code":"token_expired""#)
    );
}
