//! Memberships, from both sides.

use fanfare_engine::activity::ALWAYS_LOOK;
use fanfare_engine::effect::Set;
use fanfare_engine::member::Membership;
use fanfare_protocol::Timestamp;
use fanfare_protocol::conversation::Role;
use fanfare_protocol::participant::MemberState;
use fanfare_storage::Ports;

use crate::build::{conversation, effects, member, meta, user};

pub async fn both_sides_tell_the_same(ports: Ports) {
    let (room, other) = (conversation(7), conversation(8));
    let (alice, bob) = (user(1), user(2));
    let (owner, plain) = (member(Role::Owner, 1), member(Role::Member, 2));
    let set = |user, row| Set::Member { user, row };
    let list = vec![(1, set(alice, owner)), (2, set(bob, plain))];
    ports.log.apply(effects(room, 1, list)).await.unwrap();
    let list = vec![(1, set(bob, owner))];
    ports.log.apply(effects(other, 1, list)).await.unwrap();

    let in_room = |user, row| Membership {
        conversation: room,
        user,
        row,
    };
    let members = ports.members.members_of(room, None, 9).await.unwrap();
    assert_eq!(members, [in_room(alice, owner), in_room(bob, plain)]);
    let bobs = ports.members.conversations_of(bob, None, 9).await.unwrap();
    let in_other = Membership {
        conversation: other,
        user: bob,
        row: owner,
    };
    assert_eq!(bobs, [in_room(bob, plain), in_other]);
    let one = ports.members.member(room, bob).await.unwrap();
    assert_eq!(one, Some(plain));
    assert_eq!(ports.members.member(other, alice).await.unwrap(), None);
    let nobody = ports.members.members_of(conversation(9), None, 9).await;
    assert!(nobody.unwrap().is_empty());
}

pub async fn pages_go_on_where_they_ended(ports: Ports) {
    let (room, alice) = (conversation(7), user(1));
    let row = member(Role::Member, 1);
    let members = (0..=255).map(|n| (1, Set::Member { user: user(n), row }));
    ports
        .log
        .apply(effects(room, 1, members.collect()))
        .await
        .unwrap();
    for n in 0..=255 {
        let list = vec![(1, Set::Member { user: alice, row })];
        ports
            .log
            .apply(effects(conversation(n), 1, list))
            .await
            .unwrap();
    }
    let (mut after, mut seen) = (None, 0);
    loop {
        let page = ports.members.members_of(room, after, 100).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 100);
        assert!(page.iter().all(|member| Some(member.user) > after));
        after = Some(last.user);
        seen += page.len();
    }
    assert_eq!(seen, 256);
    let (mut after, mut seen) = (None, 0);
    loop {
        let page = ports
            .members
            .conversations_of(alice, after, 100)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.iter().all(|row| Some(row.conversation) > after));
        after = Some(last.conversation);
        seen += page.len();
    }
    assert_eq!(seen, 256);
    let none = ports.members.members_of(room, None, 0).await.unwrap();
    assert!(none.is_empty());
}

pub async fn rows_of_who_left_stay(ports: Ports) {
    let (room, alice) = (conversation(7), user(1));
    let joined = member(Role::Member, 1);
    let gone = fanfare_engine::member::MemberRow {
        state: MemberState::Left,
        changed_seq: 2,
        ..joined
    };
    let set = |row| Set::Member { user: alice, row };
    let list = vec![(1, set(joined)), (2, set(gone)), (1, set(joined))];
    ports.log.apply(effects(room, 1, list)).await.unwrap();
    let stored = ports.members.member(room, alice).await.unwrap();
    assert_eq!(stored, Some(gone));
    let members = ports.members.members_of(room, None, 9).await.unwrap();
    assert_eq!(members.len(), 1);
    let late = effects(room, 0, vec![(9, set(joined))]);
    ports.log.apply(late).await.unwrap();
    let theirs = ports
        .members
        .conversations_of(alice, None, 9)
        .await
        .unwrap();
    assert_eq!(theirs[0].row, gone);
}

pub async fn memberships_and_records_come_in_the_order_asked(ports: Ports) {
    let (room, other, nowhere) = (conversation(7), conversation(8), conversation(9));
    let (row, record) = (member(Role::Owner, 1), meta("Hall", 1));
    let joined = Set::Member { user: user(1), row };
    let noted = || Set::Meta(Box::new(record.clone()));
    let list = vec![(1, joined), (1, noted())];
    ports.log.apply(effects(room, 1, list)).await.unwrap();
    let list = vec![(1, noted())];
    ports.log.apply(effects(other, 1, list)).await.unwrap();
    let asked = vec![nowhere, room, other, room];
    let mine = ports.members.memberships(user(1), asked.clone()).await;
    assert_eq!(mine.unwrap(), [None, Some(row), None, Some(row)]);
    let records = ports.log.metas(asked).await.unwrap();
    let there = Some(record.clone());
    assert_eq!(records, [None, there.clone(), there.clone(), there]);
    let none = ports.members.memberships(user(1), Vec::new()).await;
    assert!(none.unwrap().is_empty());
    assert!(ports.log.metas(Vec::new()).await.unwrap().is_empty());
    assert!(ports.log.heads(Vec::new()).await.unwrap().is_empty());
}

pub async fn the_latest_activity_stays(ports: Ports) {
    let (alice, bob) = (user(1), user(2));
    let [one, two] = [3, 4].map(conversation);
    let at = |minutes: i64| Timestamp(1_700_000_000_000 + minutes * 60_000);
    let port = &ports.inbox;
    assert!(port.inbox(alice, None, 9).await.unwrap().is_empty());
    port.touch(two, vec![alice, bob], at(20)).await.unwrap();
    port.touch(one, vec![alice], at(5)).await.unwrap();
    port.touch(two, vec![alice], at(10)).await.unwrap();
    let found = port.inbox(alice, None, 9).await.unwrap();
    assert_eq!(found, [(one, at(5)), (two, at(20))]);
    assert_eq!(
        port.inbox(alice, Some(one), 9).await.unwrap(),
        [(two, at(20))]
    );
    assert_eq!(port.inbox(alice, None, 1).await.unwrap(), [(one, at(5))]);
    assert_eq!(port.inbox(bob, None, 9).await.unwrap(), [(two, at(20))]);
    // The one that says "always look" stays.
    port.touch(one, vec![alice], ALWAYS_LOOK).await.unwrap();
    port.touch(one, vec![alice], at(60)).await.unwrap();
    let found = port.inbox(alice, None, 1).await.unwrap();
    assert_eq!(found, [(one, ALWAYS_LOOK)]);
}
