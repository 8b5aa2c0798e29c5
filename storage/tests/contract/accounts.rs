//! Accounts.

use fanfare_storage::Ports;
use tokio::task::JoinSet;

use crate::build::{account, user};

pub async fn an_account_is_changed_by_who_saw_it_last(ports: Ports) {
    let (port, alice) = (&ports.accounts, user(1));
    let put = async |name: &str, rev, expected| {
        let account = account(alice, name, rev);
        port.put_account(account, expected).await.unwrap()
    };
    let name = async || {
        let stored = port.account(alice).await.unwrap();
        stored.map(|account| (account.user.display_name, account.rev))
    };
    assert_eq!(name().await, None);
    assert!(!put("Alice", 2, Some(1)).await, "there is none");
    assert!(put("Alice", 1, None).await);
    assert!(put("Alice", 1, None).await, "a repeat of the same write");
    assert!(!put("Mallory", 1, None).await, "there is one");
    assert!(put("Alice B", 2, Some(1)).await);
    assert!(!put("Alice C", 2, Some(1)).await, "somebody was first");
    assert_eq!(name().await, Some(("Alice B".into(), 2)));
}

pub async fn several_come_in_the_order_asked(ports: Ports) {
    let port = &ports.accounts;
    for n in [1, 2, 3] {
        let account = account(user(n), "somebody", 1);
        assert!(port.put_account(account, None).await.unwrap());
    }
    let asked = [3, 9, 1, 3].map(user).to_vec();
    let found = port.accounts(asked).await.unwrap();
    let ids: Vec<_> = found.iter().map(|account| account.user.id).collect();
    assert_eq!(ids, [3, 1, 3].map(user));
    assert!(port.accounts(vec![]).await.unwrap().is_empty());
}

pub async fn many_race_for_one_change(ports: Ports) {
    let alice = user(1);
    let first = account(alice, "first", 0);
    assert!(ports.accounts.put_account(first, None).await.unwrap());
    for rev in 0..20 {
        let mut race = JoinSet::new();
        for n in 0..16 {
            let port = ports.accounts.clone();
            race.spawn(async move {
                let account = account(alice, &format!("writer {n}"), rev + 1);
                port.put_account(account, Some(rev)).await.unwrap()
            });
        }
        let won = race.join_all().await.into_iter().filter(|won| *won);
        assert_eq!(won.count(), 1);
    }
}
