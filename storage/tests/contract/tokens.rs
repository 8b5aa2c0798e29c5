//! Token families.

use fanfare_protocol::SessionId;
use fanfare_storage::Ports;
use tokio::task::JoinSet;

use crate::build::family;

pub async fn a_family_is_changed_by_who_saw_it_last(ports: Ports) {
    let (port, session) = (&ports.tokens, SessionId::from_bytes([9; 16]));
    assert_eq!(port.family(session).await.unwrap(), None);
    let put = async |current, rev, expected| {
        let family = family(session, current, rev);
        port.put_family(family, expected).await.unwrap()
    };
    assert!(!put(1, 2, Some(1)).await);
    assert!(put(1, 1, None).await && put(1, 1, None).await);
    assert!(!put(2, 1, None).await);
    assert_eq!(
        port.family(session).await.unwrap(),
        Some(family(session, 1, 1))
    );
    let mut race = JoinSet::new();
    for current in 10..26 {
        let port = ports.tokens.clone();
        race.spawn(async move {
            let family = family(session, current, 2);
            port.put_family(family, Some(1)).await.unwrap()
        });
    }
    let won = race.join_all().await.into_iter().filter(|won| *won);
    assert_eq!(won.count(), 1, "of many that rotate, one does");
    let other = SessionId::from_bytes([8; 16]);
    assert_eq!(port.family(other).await.unwrap(), None);
}
