//! `/users`: oneself and others.

use warp::Filter as _;
use warp::path;

use super::answer::ok;
use super::ask::{Asks, Group, handle, id, v1};

pub(super) fn routes(asks: &Asks) -> Group {
    let me = v1()
        .and(path!("users" / "me"))
        .and(warp::get())
        .and(asks.ask())
        .then(|ask| {
            handle(ask, |ask| async move {
                ok(ask.accounts().user(ask.user()?).await?)
            })
        });
    let update = v1()
        .and(path!("users" / "me"))
        .and(warp::patch())
        .and(asks.ask())
        .then(|ask| {
            handle(ask, |ask| async move {
                let user = ask.user()?;
                ok(ask.accounts().update_me(user, ask.body()?).await?)
            })
        });
    let other = v1()
        .and(path!("users" / String))
        .and(warp::get())
        .and(asks.ask())
        .then(|user: String, ask| {
            handle(ask, |ask| async move {
                ask.user()?;
                ok(ask.accounts().user(id(&user, "user")?).await?)
            })
        });
    me.or(update).unify().or(other).unify().boxed()
}
