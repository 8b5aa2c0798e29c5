//! Log-in, refresh, reuse, log-out, tickets.

use std::task::Poll;

use fanfare_engine::account::Account;
use fanfare_protocol::rest::Tokens;
use fanfare_protocol::{Code, Limits, Refusal};

use super::{HERE, House, PASSWORD, login, registration};
use crate::rates::Rates;

async fn alice(house: &House) -> Tokens {
    let alice = registration("alice", "alice@example.org");
    let made = house.book.register(alice, None, HERE).await.unwrap();
    made.tokens
}

fn code<T>(result: Result<T, Refusal>) -> Option<Code> {
    result.err().map(|refusal| refusal.code)
}

#[tokio::test]
async fn alice_logs_in_by_either_name_and_nobody_else_does() {
    let house = House::new();
    let registered = alice(&house).await;
    let mut sessions = Vec::new();
    for name in ["alice", "ALICE", "alice@example.org", "Alice@Example.org"] {
        let tokens = house.book.login(login(name, PASSWORD), HERE).await.unwrap();
        assert_eq!(tokens.user, registered.user);
        let identity = house.book.authenticate(&tokens.access_token).unwrap();
        assert_eq!(identity.user, registered.user.id);
        assert!(
            !sessions.contains(&identity.session),
            "each a log-in of its own"
        );
        sessions.push(identity.session);
    }
    let wrong = house
        .book
        .login(login("alice", "wrong password"), HERE)
        .await;
    let unknown = house.book.login(login("nobody", PASSWORD), HERE).await;
    let (wrong, unknown) = (wrong.err().unwrap(), unknown.err().unwrap());
    assert_eq!(wrong.code, Code::InvalidCredentials);
    assert_eq!(wrong, unknown, "the same answer");
    let long = house
        .book
        .login(login("alice", &"x".repeat(129)), HERE)
        .await;
    assert_eq!(code(long), Some(Code::InvalidRequest));
}

#[tokio::test]
async fn an_unknown_user_waits_for_a_hash_as_everybody_does() {
    let house = House::new();
    alice(&house).await;
    // Every place and all of the queue are taken: whoever hashes is refused.
    let (mut turns, mut queue) = (Vec::new(), Vec::new());
    loop {
        let mut turn = Box::pin(house.book.passwords.turn());
        match futures_util::poll!(&mut turn) {
            Poll::Ready(Ok(turn)) => turns.push(turn),
            Poll::Ready(Err(_)) => break,
            Poll::Pending => queue.push(turn),
        }
    }
    for name in ["alice", "nobody", "nobody@example.org"] {
        let refused = house.book.login(login(name, PASSWORD), HERE).await;
        assert_eq!(code(refused), Some(Code::RateLimited), "{name}");
    }
    drop((turns, queue));
}

#[tokio::test]
async fn who_has_no_password_or_is_deactivated_cannot_log_in() {
    let house = House::new();
    let tokens = alice(&house).await;
    let identity = house.book.authenticate(&tokens.access_token).unwrap();
    let id = tokens.user.id;
    let deactivate = |account: &mut Account| account.deactivated_at = Some(Default::default());
    house.change(id, deactivate).await;
    let refused = house.book.login(login("alice", PASSWORD), HERE).await;
    assert_eq!(code(refused), Some(Code::InvalidCredentials));
    let refused = house.book.refresh(&tokens.refresh_token, HERE).await;
    assert_eq!(code(refused), Some(Code::Unauthenticated));
    let refused = house.book.check_session(&identity).await;
    assert_eq!(code(refused), Some(Code::Unauthenticated));
    let seeded = |account: &mut Account| (account.deactivated_at, account.password) = (None, None);
    house.change(id, seeded).await;
    let refused = house.book.login(login("alice", PASSWORD), HERE).await;
    assert_eq!(code(refused), Some(Code::InvalidCredentials));
}

#[tokio::test]
async fn guessing_is_limited_for_the_guesser_only() {
    let house = House::with(Rates::on(&Limits::default()));
    alice(&house).await;
    let guesser = "192.0.2.1".parse().unwrap();
    let mut refused = None;
    // Allowances come back while passwords are hashed.
    for _ in 0..=2 * Limits::default().login_per_account_per_min {
        let guess = login("alice", "wrong password");
        refused = code(house.book.login(guess, guesser).await);
        if refused == Some(Code::RateLimited) {
            break;
        }
    }
    assert_eq!(refused, Some(Code::RateLimited));
    house
        .book
        .login(login("alice", PASSWORD), HERE)
        .await
        .unwrap();
}

#[tokio::test]
async fn refresh_tokens_rotate_and_a_second_use_revokes_all() {
    let house = House::new();
    let mut heard = house.book.revocations();
    let first = alice(&house).await;
    let second = house
        .book
        .refresh(&first.refresh_token, HERE)
        .await
        .unwrap();
    assert_ne!(first.refresh_token, second.refresh_token);
    house.pass_ms(1);
    let third = house
        .book
        .refresh(&second.refresh_token, HERE)
        .await
        .unwrap();
    let identity = house.book.authenticate(&third.access_token).unwrap();
    assert_eq!(identity.user, first.user.id);
    house.book.check_session(&identity).await.unwrap();
    // Within the grace, but two rotations old.
    let reused = house.book.refresh(&first.refresh_token, HERE).await;
    assert_eq!(code(reused), Some(Code::Unauthenticated));
    assert_eq!(heard.try_recv(), Ok(identity.session));
    for token in [&first, &second, &third] {
        let refused = house.book.refresh(&token.refresh_token, HERE).await;
        assert_eq!(code(refused), Some(Code::Unauthenticated));
        let refused = house.book.authenticate(&token.access_token);
        assert_eq!(code(refused), Some(Code::Unauthenticated));
    }
}

#[tokio::test]
async fn a_lost_answer_may_be_fetched_again_for_a_while() {
    let house = House::new();
    let first = alice(&house).await;
    let grace_ms = Limits::default().refresh_grace_ms as i64;
    let lost = house
        .book
        .refresh(&first.refresh_token, HERE)
        .await
        .unwrap();
    house.pass_ms(grace_ms / 2);
    let lost_too = house
        .book
        .refresh(&first.refresh_token, HERE)
        .await
        .unwrap();
    assert_ne!(lost.refresh_token, lost_too.refresh_token);
    house.pass_ms(grace_ms / 2 - 1);
    let got = house
        .book
        .refresh(&first.refresh_token, HERE)
        .await
        .unwrap();
    let identity = house.book.authenticate(&got.access_token).unwrap();
    // The grace began with the first use and is not stretched.
    house.pass_ms(1);
    let late = house.book.refresh(&first.refresh_token, HERE).await;
    assert_eq!(code(late), Some(Code::Unauthenticated));
    assert!(house.book.is_revoked(identity.session));
}

#[tokio::test]
async fn one_token_used_twice_at_once_gets_two_pairs_and_one_line() {
    let house = House::new();
    let first = alice(&house).await;
    let (one, two) = tokio::join!(
        house.book.refresh(&first.refresh_token, HERE),
        house.book.refresh(&first.refresh_token, HERE)
    );
    one.unwrap();
    house
        .book
        .refresh(&two.unwrap().refresh_token, HERE)
        .await
        .unwrap();
}

#[tokio::test]
async fn refresh_tokens_end() {
    let house = House::new();
    let first = alice(&house).await;
    house.pass_ms(Limits::default().refresh_token_s as i64 * 1000);
    let ended = house.book.refresh(&first.refresh_token, HERE).await;
    assert_eq!(code(ended), Some(Code::Unauthenticated));
}

#[tokio::test]
async fn log_out_ends_the_log_in_also_after_a_restart() {
    let house = House::new();
    let stays = alice(&house).await;
    let goes = house
        .book
        .login(login("alice", PASSWORD), HERE)
        .await
        .unwrap();
    let mut heard = house.book.revocations();
    let session = house.book.logout(&goes.refresh_token).await.unwrap();
    assert_eq!(heard.try_recv(), Ok(session));
    assert_eq!(house.book.logout(&goes.refresh_token).await, Ok(session));
    assert!(house.book.is_revoked(session));
    assert_eq!(
        code(house.book.authenticate(&goes.access_token)),
        Some(Code::Unauthenticated)
    );
    house.book.authenticate(&stays.access_token).unwrap();
    let again = house.restarted();
    let identity = again.book.authenticate(&goes.access_token).unwrap();
    let refused = again.book.check_session(&identity).await;
    assert_eq!(code(refused), Some(Code::Unauthenticated));
    assert!(again.book.is_revoked(session), "known from then on");
    assert_eq!(
        code(again.book.authenticate(&goes.access_token)),
        Some(Code::Unauthenticated)
    );
    let identity = again.book.authenticate(&stays.access_token).unwrap();
    assert_eq!(
        again.book.check_session(&identity).await.unwrap(),
        stays.user
    );
}

#[tokio::test]
async fn a_revocation_is_forgotten_when_its_tokens_have_ended() {
    let house = House::new();
    let tokens = alice(&house).await;
    let session = house.book.logout(&tokens.refresh_token).await.unwrap();
    house.pass_ms(Limits::default().access_token_s as i64 * 1000);
    assert!(house.book.is_revoked(session));
    house.pass_ms(60_000);
    assert!(!house.book.is_revoked(session));
    assert_eq!(
        code(house.book.authenticate(&tokens.access_token)),
        Some(Code::TokenExpired)
    );
}

#[tokio::test]
async fn a_ticket_is_good_once_and_for_half_a_minute() {
    let house = House::new();
    let tokens = alice(&house).await;
    let identity = house.book.authenticate(&tokens.access_token).unwrap();
    let ticket = house.book.ticket(identity).unwrap();
    assert_eq!(ticket.expires_in_s, 30);
    assert_eq!(house.book.redeem_ticket(&ticket.ticket), Ok(identity));
    assert_eq!(
        code(house.book.redeem_ticket(&ticket.ticket)),
        Some(Code::Unauthenticated)
    );
    let late = house.book.ticket(identity).unwrap();
    house.pass_ms(30_000);
    assert_eq!(
        code(house.book.redeem_ticket(&late.ticket)),
        Some(Code::Unauthenticated)
    );
    let revoked = house.book.ticket(identity).unwrap();
    house.book.logout(&tokens.refresh_token).await.unwrap();
    assert_eq!(
        code(house.book.redeem_ticket(&revoked.ticket)),
        Some(Code::Unauthenticated)
    );
}
