//! Effects, and the small rows beside a log.

use bytes::Bytes;
use fanfare_engine::effect::Set;
use fanfare_engine::member::Marks;
use fanfare_engine::row::{EpochRow, HeadRow};
use fanfare_protocol::Timestamp;
use fanfare_storage::Ports;

use crate::build::{all_rows, conversation, effects, member, meta, rows, user};
use fanfare_protocol::conversation::Role;

fn state(target: u64, text: &'static str) -> Set {
    let state = Bytes::from_static(text.as_bytes());
    Set::State { target, state }
}

fn emptied(target: u64) -> Set {
    let entry = Bytes::from_static(b"without its text");
    Set::Emptied { target, entry }
}

pub async fn state_stands_beside_the_row(ports: Ports) {
    let room = conversation(7);
    ports.log.append(1, rows(room, 1..=3, 1)).await.unwrap();
    let first = effects(
        room,
        1,
        vec![(4, state(2, "older")), (6, state(2, "newer"))],
    );
    ports.log.apply(first).await.unwrap();
    let late = effects(room, 1, vec![(5, state(2, "between"))]);
    ports.log.apply(late).await.unwrap();
    let rows = all_rows(&*ports.log, room).await;
    assert_eq!(rows[1].state, "newer");
    assert_eq!(rows[1].entry, "entry 2 of epoch 1", "the row itself stays");
    assert!(rows[0].state.is_empty() && rows[2].state.is_empty());
}

pub async fn an_entry_is_emptied_for_good(ports: Ports) {
    let room = conversation(7);
    let written = rows(room, 1..=2, 1);
    ports.log.append(1, written.clone()).await.unwrap();
    let deletion = effects(room, 1, vec![(3, emptied(1))]);
    ports.log.apply(deletion).await.unwrap();
    ports.log.append(1, written).await.unwrap();
    let rows = all_rows(&*ports.log, room).await;
    assert_eq!(rows[0].entry, "without its text");
    assert_eq!((rows[0].mno, rows[0].epoch, rows[0].key), (0, 1, None));
    assert_eq!(rows[1].entry, "entry 2 of epoch 1");
}

pub async fn meta_is_one_record_per_conversation(ports: Ports) {
    let room = conversation(7);
    assert_eq!(ports.log.meta(room).await.unwrap(), None);
    let named = |title, rev| Set::Meta(Box::new(meta(title, rev)));
    let both = effects(room, 1, vec![(5, named("five", 5)), (3, named("three", 3))]);
    ports.log.apply(both).await.unwrap();
    assert_eq!(ports.log.meta(room).await.unwrap(), Some(meta("five", 5)));
    assert_eq!(ports.log.meta(conversation(8)).await.unwrap(), None);
}

pub async fn heads_keep_the_latest(ports: Ports) {
    let room = conversation(7);
    let head = |epoch, seq, clean| HeadRow {
        conversation: room,
        epoch,
        seq,
        mno: seq,
        ano: 1,
        at: Timestamp(-5),
        clean,
    };
    assert_eq!(ports.log.head(room).await.unwrap(), None);
    ports.log.put_head(1, head(1, 10, 8)).await.unwrap();
    // At one place it becomes clean later.
    ports.log.put_head(1, head(1, 10, 10)).await.unwrap();
    ports.log.put_head(1, head(1, 9, 9)).await.unwrap();
    assert_eq!(ports.log.head(room).await.unwrap(), Some(head(1, 10, 10)));
    ports.log.put_head(2, head(1, 9, 0)).await.unwrap();
    assert_eq!(ports.log.head(room).await.unwrap(), Some(head(1, 9, 0)));
    // Many at once come in the order asked.
    let other = HeadRow {
        conversation: conversation(8),
        ..head(3, 5, 5)
    };
    ports.log.put_head(3, other).await.unwrap();
    let asked = vec![other.conversation, conversation(9), room];
    let read = ports.log.heads(asked).await.unwrap();
    assert_eq!(read, [Some(other), None, Some(head(1, 9, 0))]);
}

pub async fn epochs_stand_in_order(ports: Ports) {
    let room = conversation(7);
    let row = |epoch, first_seq| EpochRow {
        conversation: room,
        epoch,
        first_seq,
    };
    assert!(ports.log.epochs(room).await.unwrap().is_empty());
    for written in [
        row(300, None),
        row(2, None),
        row(2, Some(1)),
        row(2, None), // late: the first seq stays
        row(300, Some(44)),
        row(301, None),
    ] {
        ports.log.put_epoch(written.epoch, written).await.unwrap();
    }
    let expected = [row(2, Some(1)), row(300, Some(44)), row(301, None)];
    assert_eq!(ports.log.epochs(room).await.unwrap(), expected);
    // Who takes the log over closes an older epoch; what comes late loses.
    let closed = row(301, Some(EpochRow::NEVER));
    ports.log.put_epoch(302, closed).await.unwrap();
    let late = row(301, Some(45));
    ports.log.put_epoch(301, late).await.unwrap();
    let expected = [row(2, Some(1)), row(300, Some(44)), closed];
    assert_eq!(ports.log.epochs(room).await.unwrap(), expected);
    assert!(ports.log.epochs(conversation(8)).await.unwrap().is_empty());
}

pub async fn live_notes_come_and_go(ports: Ports) {
    let log = &ports.log;
    for (slot, n) in [(3, 1), (3, 2), (3, 3), (4, 4), (259, 5)] {
        log.put_live(1, slot, conversation(n), Timestamp(1))
            .await
            .unwrap();
        log.put_live(1, slot, conversation(n), Timestamp(0))
            .await
            .unwrap();
    }
    let [one, two, three] = [1, 2, 3].map(conversation);
    assert_eq!(log.live(3, None, 9).await.unwrap(), [one, two, three]);
    assert_eq!(log.live(3, None, 2).await.unwrap(), [one, two]);
    assert_eq!(log.live(3, Some(two), 9).await.unwrap(), [three]);
    assert!(log.live(3, None, 0).await.unwrap().is_empty());
    assert!(log.live(5, None, 9).await.unwrap().is_empty());
    log.drop_live(1, 3, two).await.unwrap();
    log.drop_live(1, 3, two).await.unwrap();
    log.drop_live(1, 4, three).await.unwrap();
    assert_eq!(log.live(3, None, 9).await.unwrap(), [one, three]);
    log.put_live(1, 3, two, Timestamp(9)).await.unwrap();
    assert_eq!(log.live(3, None, 9).await.unwrap(), [one, two, three]);
    // Who has lost the slot takes back nothing of who has it now.
    log.put_live(2, 3, two, Timestamp(9)).await.unwrap();
    log.put_live(1, 3, two, Timestamp(99)).await.unwrap();
    log.drop_live(1, 3, two).await.unwrap();
    assert_eq!(log.live(3, None, 9).await.unwrap(), [one, two, three]);
    log.drop_live(2, 3, two).await.unwrap();
    log.drop_live(3, 3, one).await.unwrap();
    assert_eq!(log.live(3, None, 9).await.unwrap(), [three]);
}

pub async fn effects_repeat_harmlessly(ports: Ports) {
    let room = conversation(7);
    ports.log.append(1, rows(room, 1..=2, 1)).await.unwrap();
    let (alice, row) = (user(1), member(Role::Owner, 3));
    let mention = |on| Set::Mention {
        user: alice,
        message: 2,
        on,
    };
    let list = vec![
        (3, state(1, "edited")),
        (3, Set::Member { user: alice, row }),
        (3, mention(true)),
        (4, mention(false)),
        (4, emptied(2)),
    ];
    let all = effects(room, 1, list);
    ports.log.apply(effects(room, 1, vec![])).await.unwrap();
    for _ in 0..2 {
        ports.log.apply(all.clone()).await.unwrap();
        let rows = all_rows(&*ports.log, room).await;
        assert_eq!(rows[0].state, "edited");
        assert_eq!(rows[1].entry, "without its text");
        let stored = ports.members.member(room, alice).await.unwrap();
        assert_eq!(stored, Some(row));
        let asked = vec![(alice, Marks::default())];
        let standings = ports.marks.standings(room, asked).await.unwrap();
        assert_eq!(standings[0].named, 0);
    }
}
