//! Accounts: register, log in, refresh, log out, tickets, profiles.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::account::{PASSWORD, id_of};
use crate::harness::inbox::Keep;
use crate::harness::socket::Opening;
use crate::harness::{Account, Options, Refusal, Server, Socket, eventually, unique};

async fn refresh(server: &Server, token: &str) -> Result<Account, Refusal> {
    let answer = server
        .rest()
        .post("/auth/refresh", json!({"refreshToken": token}))
        .await?;
    Ok(Account::of_tokens(server, &answer["data"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn alice_registers_and_logs_in_by_name_and_by_address() {
    let server = Server::start().await;
    let username = unique("Alice_");
    let email = format!("{username}@Example.org");
    let body = json!({"username": username, "email": email, "password": PASSWORD, "displayName": "Alice Ä"});
    let registered = server
        .rest()
        .answer("POST", "/auth/register", Some(body), None)
        .await
        .unwrap();
    assert_eq!(registered.status, 201);
    let data = &registered.json()["data"];
    assert!(
        data["expiresInS"].as_u64().is_some_and(|life_s| life_s > 0),
        "{data}"
    );
    let user = &data["user"];
    assert_eq!(
        (&user["username"], &user["displayName"]),
        (&json!(username), &json!("Alice Ä"))
    );
    for field in ["id", "role", "verified", "createdAt"] {
        assert!(!user[field].is_null(), "no {field} in {user}");
    }
    assert!(user.get("email").is_none() && !registered.json().to_string().contains(PASSWORD));

    for login in [
        username.clone(),
        username.to_uppercase(),
        email.clone(),
        email.to_lowercase(),
    ] {
        let body = json!({"login": login, "password": PASSWORD});
        let answer = server
            .rest()
            .answer("POST", "/auth/login", Some(body), None)
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{login}");
        let again = Account::of_tokens(&server, &answer.json()["data"]);
        assert_eq!(again.id, id_of(user));
        let me = again.rest.get("/users/me").await.unwrap();
        assert_eq!(me["data"]["id"], user["id"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_and_an_address_are_had_once() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let register = async |username: &str, email: &str| {
        let body = json!({"username": username, "email": email, "password": PASSWORD});
        server
            .rest()
            .post("/auth/register", body)
            .await
            .unwrap_err()
    };
    let same_name = register(&alice.username.to_uppercase(), "other@example.org").await;
    assert_eq!(
        (same_name.status, same_name.code.as_str()),
        (409, "already_exists")
    );
    let same_address = register("somebody", &format!("{}@EXAMPLE.org", alice.username)).await;
    assert_eq!(
        (same_address.status, same_address.code.as_str()),
        (409, "already_exists")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_and_a_wrong_password_answer_alike() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let log_in = async |login: &str| {
        let body = json!({"login": login, "password": "not the password"});
        server
            .rest()
            .answer("POST", "/auth/login", Some(body), None)
            .await
            .unwrap()
    };
    let wrong = log_in(&alice.username).await;
    let unknown = log_in("nobody-here").await;
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.json()["error"]["code"], "invalid_credentials");
    assert_eq!((wrong.status, wrong.body), (unknown.status, unknown.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_rotates_and_its_reuse_ends_the_family() {
    // The grace for an answer that got lost is 10 s; here it is over at once.
    let server = Options::new().limit("refresh_grace_ms", 0).start().await;
    let alice = Account::register(&server, "alice").await;
    let other_login = alice.log_in(&server).await;

    let second = refresh(&server, &alice.refresh).await.unwrap();
    assert_ne!(second.refresh, alice.refresh);
    assert_eq!(
        second.rest.get("/users/me").await.unwrap()["data"]["id"],
        alice.id.as_str()
    );
    let third = refresh(&server, &second.refresh).await.unwrap();

    let socket = third.connect(&server).await;
    let reused = refresh(&server, &alice.refresh).await.unwrap_err();
    assert_eq!(
        (reused.status, reused.code.as_str()),
        (401, "unauthenticated")
    );
    let orphaned = refresh(&server, &third.refresh).await.unwrap_err();
    assert_eq!(orphaned.status, 401, "the whole family is revoked");
    assert_eq!(socket.close_code_within(Duration::from_secs(5)).await, 4201);
    // Another log-in is another family.
    refresh(&server, &other_login.refresh).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_answer_was_lost_may_be_repeated_at_once() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    refresh(&server, &alice.refresh).await.unwrap();
    let again = refresh(&server, &alice.refresh).await.unwrap();
    assert_eq!(
        again.rest.get("/users/me").await.unwrap()["data"]["id"],
        alice.id.as_str()
    );
    refresh(&server, &again.refresh).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_closes_that_log_ins_sockets_within_5_s() {
    let server = Server::start().await;
    let laptop = Account::register(&server, "alice").await;
    let phone = laptop.log_in(&server).await;
    let on_laptop = laptop.connect(&server).await;
    let on_phone = phone.connect(&server).await;

    let body = json!({"refreshToken": laptop.refresh});
    let answer = laptop
        .rest
        .answer("POST", "/auth/logout", Some(body), None)
        .await
        .unwrap();
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(
        on_laptop.close_code_within(Duration::from_secs(5)).await,
        4201
    );
    assert_eq!(
        refresh(&server, &laptop.refresh).await.unwrap_err().status,
        401
    );
    let access = laptop.rest.get("/users/me").await;
    assert_eq!(
        access.unwrap_err().status,
        401,
        "the access token of a log-in that ended"
    );
    let hello = Socket::open(server.address(), &laptop.access, json!([])).await;
    assert!(hello.is_err());
    // The phone stays.
    on_phone.request("session:info", json!({})).await.unwrap();
    phone.rest.get("/users/me").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_socket() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let ticket = async || {
        let answer = alice.rest.post("/auth/ticket", json!({})).await.unwrap();
        assert_eq!(answer["data"]["expiresInS"], 30);
        answer["data"]["ticket"].as_str().unwrap().to_owned()
    };
    let in_query = ticket().await;
    let opening = Opening {
        query: format!("?ticket={in_query}"),
        ..Opening::default()
    };
    let socket = opening.connect(server.address(), Keep::All).await.unwrap();
    let hello = socket
        .request("session:hello", json!({"device": {"kind": "web"}}))
        .await
        .unwrap();
    assert_eq!(hello["user"]["id"], alice.id.as_str());
    let again = opening
        .connect(server.address(), Keep::All)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(
        (again.status, again.code.as_str()),
        (401, "unauthenticated")
    );

    let in_hello = ticket().await;
    let hello = json!({"ticket": in_hello, "device": {"kind": "mobile"}});
    for expected in [true, false] {
        let socket = Opening::default()
            .connect(server.address(), Keep::All)
            .await
            .unwrap();
        let reply = socket.request("session:hello", hello.clone()).await;
        assert_eq!(reply.is_ok(), expected, "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_read_and_changed() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let changed = alice
        .rest
        .patch(
            "/users/me",
            json!({"displayName": "Alice → Älice", "bio": "hello"}),
        )
        .await
        .unwrap();
    assert_eq!(
        (&changed["data"]["displayName"], &changed["data"]["bio"]),
        (&json!("Alice → Älice"), &json!("hello"))
    );
    let seen: Value = bob.rest.get(&format!("/users/{}", alice.id)).await.unwrap();
    assert_eq!(seen["data"], changed["data"]);
    alice
        .rest
        .patch("/users/me", json!({"bio": ""}))
        .await
        .unwrap();
    let me = alice.rest.get("/users/me").await.unwrap();
    assert_eq!(me["data"]["displayName"], "Alice → Älice");
    assert!(me["data"].get("bio").is_none_or(|bio| bio == ""), "{me}");
    let nobody = bob
        .rest
        .get("/users/0199f0a2-0000-7000-8000-000000000000")
        .await
        .unwrap_err();
    assert_eq!((nobody.status, nobody.code.as_str()), (404, "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_says_so_and_a_session_lives_on_with_a_fresh_one() {
    let options = Options::new()
        .limit("access_token_s", 1)
        .limit("token_grace_ms", 3000);
    let server = options.start().await;
    let alice = Account::register(&server, "alice").await;
    let refreshed = alice.connect(&server).await;
    let left_alone = alice.connect(&server).await;

    // Its life is 1 s and clocks may differ by the leeway.
    let expired = eventually("the token's end", Duration::from_secs(60), async || {
        alice.rest.get("/users/me").await.err()
    })
    .await;
    assert_eq!(
        (expired.status, expired.code.as_str()),
        (401, "token_expired")
    );
    let late = Socket::open(server.address(), &alice.access, json!([]))
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(late.code, "token_expired");
    assert_eq!(
        left_alone.close_code_within(Duration::from_secs(30)).await,
        4200
    );
    // Had this one not been closed too, it would have been kept by session:refresh.
    let code = refreshed.close_code_within(Duration::from_secs(30)).await;
    assert_eq!(code, 4200);

    let fresh = refresh(&server, &alice.refresh).await.unwrap();
    let kept = fresh.connect(&server).await;
    let mut token = fresh;
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(6) {
        token = refresh(&server, &token.refresh).await.unwrap();
        kept.request("session:refresh", json!({"token": token.access}))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    kept.request("session:info", json!({})).await.unwrap();
    // Nobody else's token, and none of another log-in of hers: logging that
    // one out would not end this socket.
    let stranger = Account::register(&server, "bob").await;
    let another = alice.log_in(&server).await;
    for token in [&stranger.access, &another.access] {
        let foreign = kept
            .request("session:refresh", json!({"token": token}))
            .await
            .unwrap_err();
        assert_eq!(foreign.code, "forbidden", "{foreign:?}");
    }
}
