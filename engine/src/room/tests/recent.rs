//! What a room tells from memory.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_protocol::{ConversationId, Limits, Timestamp, UserId};
use uuid::Uuid;

use crate::codec::encode;
use crate::entry::{Body, Entry};
use crate::port::{Order, RowRange};
use crate::room::{Input, Now, Room, RoomState};
use crate::row::LogRow;

const LOG: ConversationId = ConversationId(Uuid::from_u128(1));

fn row(seq: u64, epoch: u64) -> LogRow {
    let entry = Entry {
        at: Timestamp(0),
        author: UserId(Uuid::from_u128(2)),
        body: Body::ConversationDeleted,
    };
    LogRow {
        conversation: LOG,
        seq,
        epoch,
        mno: 0,
        ano: 0,
        key: None,
        request: None,
        entry: encode(&entry).unwrap(),
        state: Bytes::new(),
    }
}

/// A room with rows 5 to 10, of epoch 3 from row 8 on, and with row 2, which
/// something needed.
fn room() -> Room {
    let (mut room, _) = Room::new(LOG, 3, Arc::new(Limits::default()));
    let rows = (5..=10).map(|seq| row(seq, if seq < 8 { 1 } else { 3 }));
    let mut state = RoomState::load(LOG, None, rows.collect(), None).unwrap();
    state.remember_row(row(2, 1)).unwrap();
    let now = Now {
        at: Timestamp(0),
        ms: 0,
    };
    room.handle(Input::Loaded(Some(Box::new(state))), now);
    room
}

#[test]
fn rows_are_told_if_all_that_are_asked_for_are_held() {
    let room = room();
    let told = |from, to, limit, order| {
        let range = RowRange {
            conversation: LOG,
            from,
            to,
            limit,
            order,
        };
        let rows = room.recent(&range)?;
        Some(rows.iter().map(|row| row.seq).collect::<Vec<_>>())
    };
    let (up, down) = (Order::Ascending, Order::Descending);
    assert_eq!(told(5, 10, 9, up), Some(vec![5, 6, 7, 8, 9, 10]));
    assert_eq!(told(5, 10, 9, down), Some(vec![10, 9, 8, 7, 6, 5]));
    assert_eq!(told(1, 10, 6, down), Some(vec![10, 9, 8, 7, 6, 5]));
    assert_eq!(told(1, 10, 7, down), None, "row 4 is not held");
    assert_eq!(told(1, 7, 2, down), Some(vec![7, 6]));
    assert_eq!(told(8, 99, 9, up), Some(vec![8, 9, 10]), "to the head");
    assert_eq!(told(11, 99, 9, up), Some(vec![]), "nothing is there");
    assert_eq!(told(2, 2, 1, up), Some(vec![2]));
    assert_eq!(told(2, 6, 9, up), None, "rows between are not held");
    assert_eq!(told(2, 6, 3, up), None, "rows between are not held");
    assert_eq!(told(0, 6, 9, up), None);
    assert_eq!(told(4, 4, 1, down), None);
}

#[test]
fn the_rows_of_the_newest_epoch_are_known() {
    assert_eq!(room().run_from(), 8);
    let (empty, _) = Room::new(LOG, 3, Arc::new(Limits::default()));
    assert_eq!(empty.run_from(), 0);
}

#[test]
fn a_room_that_loads_or_ends_tells_nothing() {
    let range = RowRange {
        conversation: LOG,
        from: 5,
        to: 10,
        limit: 9,
        order: Order::Ascending,
    };
    let (loading, _) = Room::new(LOG, 3, Arc::new(Limits::default()));
    assert_eq!(loading.recent(&range), None);
    let mut room = room();
    room.close();
    assert_eq!(room.recent(&range), None);
}
