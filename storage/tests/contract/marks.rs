//! Marks that rise, and mentions.

use fanfare_engine::effect::Set;
use fanfare_engine::member::Marks;
use fanfare_engine::port::{Mark, MarkWrite};
use fanfare_protocol::conversation::Role;
use fanfare_storage::Ports;

use crate::build::{conversation, effects, member, user};

fn read(n: u8, seq: u64) -> MarkWrite {
    MarkWrite {
        conversation: conversation(7),
        user: user(n),
        mark: Mark::Read {
            seq,
            mno: seq + 100,
            ano: seq + 200,
        },
    }
}

fn delivered(n: u8, seq: u64) -> MarkWrite {
    MarkWrite {
        mark: Mark::Delivered { seq },
        ..read(n, seq)
    }
}

fn marks(read_seq: u64, delivered_seq: u64) -> Marks {
    Marks {
        read_seq,
        read_mno: read_seq + 100,
        read_ano: read_seq + 200,
        delivered_seq,
    }
}

pub async fn marks_only_rise(ports: Ports) {
    let (room, port) = (conversation(7), &ports.marks);
    let mine = async || port.marks(room, user(1)).await.unwrap();
    assert_eq!(mine().await, Marks::default());
    port.raise(vec![delivered(1, 9)]).await.unwrap();
    let only_delivered = Marks {
        delivered_seq: 9,
        ..Marks::default()
    };
    assert_eq!(mine().await, only_delivered);
    let several = vec![read(1, 5), read(1, 7), read(1, 6), delivered(1, 8)];
    port.raise(several).await.unwrap();
    assert_eq!(mine().await, marks(7, 9));
    port.raise(vec![read(1, 4), delivered(1, 10)])
        .await
        .unwrap();
    assert_eq!(mine().await, marks(7, 10));
    port.raise(vec![read(1, 0), delivered(1, 0)]).await.unwrap();
    port.raise(vec![]).await.unwrap();
    assert_eq!(mine().await, marks(7, 10));
    let others = port.marks(room, user(2)).await.unwrap();
    assert_eq!(others, Marks::default());
}

pub async fn the_sender_s_own_mark_rises_as_an_effect(ports: Ports) {
    let (room, alice) = (conversation(7), user(1));
    let mark = |marks| Set::Mark { user: alice, marks };
    ports.marks.raise(vec![delivered(1, 20)]).await.unwrap();
    let list = vec![(12, mark(marks(12, 12)))];
    ports.log.apply(effects(room, 5, list)).await.unwrap();
    assert_eq!(ports.marks.marks(room, alice).await.unwrap(), marks(12, 20));
    // Whatever the epoch: the highest stays.
    let list = vec![(13, mark(marks(11, 21)))];
    ports.log.apply(effects(room, 9, list)).await.unwrap();
    assert_eq!(ports.marks.marks(room, alice).await.unwrap(), marks(12, 21));
    let list = vec![(14, mark(Marks::default()))];
    ports.log.apply(effects(room, 9, list)).await.unwrap();
    assert_eq!(ports.marks.marks(room, alice).await.unwrap(), marks(12, 21));
}

pub async fn marks_come_in_pages(ports: Ports) {
    let room = conversation(7);
    let raised = (1..=5).flat_map(|n| [read(n, u64::from(n)), delivered(n, 9)]);
    ports.marks.raise(raised.collect()).await.unwrap();
    let page = ports.marks.marks_of(room, None, 3).await.unwrap();
    let expected: Vec<_> = (1..=3).map(|n| (user(n), marks(u64::from(n), 9))).collect();
    assert_eq!(page, expected);
    let rest = ports.marks.marks_of(room, Some(user(3)), 9).await.unwrap();
    assert_eq!(rest.len(), 2);
    let none = ports.marks.marks_of(room, None, 0).await.unwrap();
    assert!(none.is_empty());
    let other = ports
        .marks
        .marks_of(conversation(8), None, 9)
        .await
        .unwrap();
    assert!(other.is_empty());
}

pub async fn mentions_count_behind_the_mark(ports: Ports) {
    let (room, alice) = (conversation(7), user(1));
    let named = |message, on| Set::Mention {
        user: alice,
        message,
        on,
    };
    let list = vec![
        (3, named(3, true)),
        (8, named(8, true)),
        (300, named(300, true)),
        (301, named(8, false)), // an edit withdraws it
        (302, named(3, true)),
    ];
    ports.log.apply(effects(room, 1, list)).await.unwrap();
    let list = vec![(1, named(1, true))];
    ports
        .log
        .apply(effects(conversation(8), 1, list))
        .await
        .unwrap();
    let behind = async |seq| {
        let read = Marks {
            read_seq: seq,
            ..Marks::default()
        };
        let asked = vec![(alice, read), (user(2), Marks::default())];
        let both = ports.marks.standings(room, asked).await.unwrap();
        assert_eq!((both.len(), both[1].named), (2, 0));
        both[0].named
    };
    assert_eq!(behind(0).await, 2);
    assert_eq!(behind(2).await, 2);
    assert_eq!(behind(3).await, 1);
    assert_eq!(behind(299).await, 1);
    assert_eq!(behind(300).await, 0);
    assert_eq!(behind(u64::MAX).await, 0);
    let late = effects(room, 1, vec![(8, named(8, true))]);
    ports.log.apply(late).await.unwrap();
    assert_eq!(behind(0).await, 2, "the withdrawal is later");
    let again = effects(room, 1, vec![(303, named(8, true))]);
    ports.log.apply(again).await.unwrap();
    assert_eq!(behind(0).await, 3);
}

pub async fn standings_are_those_of_the_asked_in_their_order(ports: Ports) {
    let (room, port) = (conversation(7), &ports.marks);
    let row = member(Role::Member, 5);
    let joined = Set::Member { user: user(1), row };
    let named = |message| Set::Mention {
        user: user(1),
        message,
        on: true,
    };
    let list = vec![(5, joined), (5, named(5)), (6, named(6)), (9, named(9))];
    ports.log.apply(effects(room, 1, list)).await.unwrap();
    port.raise(vec![read(2, 4)]).await.unwrap();
    let none = Marks::default();
    let asked = vec![(user(3), none), (user(1), none), (user(2), marks(3, 8))];
    let stand = port.standings(room, asked).await.unwrap();
    // A stranger; a member who read nothing since they joined; marks of whom
    // the store knows the higher.
    assert_eq!(
        (stand[0].member, stand[0].marks, stand[0].named),
        (None, none, 0)
    );
    assert_eq!(
        (stand[1].member, stand[1].marks, stand[1].named),
        (Some(row), none, 3)
    );
    assert_eq!(
        stand[2].marks,
        Marks {
            delivered_seq: 8,
            ..marks(4, 0)
        }
    );
    // Known to have read further than the store knows.
    let asked = vec![(user(1), marks(6, 0))];
    let stand = port.standings(room, asked).await.unwrap();
    assert_eq!((stand[0].marks, stand[0].named), (marks(6, 0), 1));
    assert!(port.standings(room, Vec::new()).await.unwrap().is_empty());
}
