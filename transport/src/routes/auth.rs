//! `/auth`: register, log in, refresh, log out, tickets.

use fanfare_protocol::rest::RefreshToken;
use warp::Filter as _;
use warp::path;

use super::answer::{created, nothing, ok};
use super::ask::{Asks, Group, for_anyone, for_user, v1};

pub(super) fn routes(asks: &Asks) -> Group {
    let register = v1()
        .and(path!("auth" / "register"))
        .and(warp::post())
        .and(asks.ask())
        .then(|ask| {
            for_anyone(ask, |ask| async move {
                let key = ask.key()?;
                let asked = ask.body()?;
                let done = ask
                    .accounts()
                    .register(asked, key.as_deref(), ask.address)
                    .await?;
                created(done.tokens, done.repeated)
            })
        });
    let login = v1()
        .and(path!("auth" / "login"))
        .and(warp::post())
        .and(asks.ask())
        .then(|ask| {
            for_anyone(ask, |ask| async move {
                ok(ask.accounts().login(ask.body()?, ask.address).await?)
            })
        });
    let refresh = v1()
        .and(path!("auth" / "refresh"))
        .and(warp::post())
        .and(asks.ask())
        .then(|ask| {
            for_anyone(ask, |ask| async move {
                let token: RefreshToken = ask.body()?;
                ok(ask
                    .accounts()
                    .refresh(&token.refresh_token, ask.address)
                    .await?)
            })
        });
    let logout = v1()
        .and(path!("auth" / "logout"))
        .and(warp::post())
        .and(asks.ask())
        .then(|ask| {
            for_anyone(ask, |ask| async move {
                let token: RefreshToken = ask.body()?;
                ask.accounts().logout(&token.refresh_token).await?;
                nothing()
            })
        });
    let ticket = v1()
        .and(path!("auth" / "ticket"))
        .and(warp::post())
        .and(asks.ask())
        .then(|ask| {
            for_user(ask, |ask, caller| async move {
                ok(ask.accounts().ticket(caller)?)
            })
        });
    register
        .or(login)
        .unify()
        .or(refresh)
        .unify()
        .or(logout)
        .unify()
        .or(ticket)
        .unify()
        .boxed()
}
