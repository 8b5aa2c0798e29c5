//! What goes into one append, and what a room holds in memory.

use fanfare_protocol::limits::{BUCKET_ROWS, HEAD_ROW_MS, ROOM_ROWS_HELD_MAX};
use fanfare_protocol::{Limits, UserId};
use uuid::Uuid;

use super::ask::*;
use super::world::World;
use crate::room::{Input, Outcome};
use crate::row::bucket_of;

/// Sends while one append is in flight, and what the next ones hold.
fn batches_of(mut world: World, asks: impl FnOnce(&mut World)) -> Vec<usize> {
    world.ask(ALICE, send("in flight"));
    let before = world.batches.len();
    asks(&mut world);
    world.quiesce();
    let batches = world.batches.iter().skip(before);
    batches.map(|batch| batch.rows.len()).collect()
}

#[test]
fn what_gathers_is_the_next_batch() {
    let three = |world: &mut World| {
        for text in ["one", "two", "three"] {
            world.ask(ALICE, send(text));
        }
    };
    assert_eq!(batches_of(World::group(), three), [3]);
}

#[test]
fn a_batch_holds_so_many_rows_bytes_and_effects() {
    let many = |world: &mut World| {
        for _ in 0..300 {
            world.ask(ALICE, send("x"));
        }
    };
    assert_eq!(batches_of(World::group(), many), [256, 44]);

    let large = |world: &mut World| {
        for bytes in [30_000, 30_000, 30_000, 70_000, 10] {
            world.ask(ALICE, send(&"x".repeat(bytes)));
        }
    };
    assert_eq!(
        batches_of(World::group(), large),
        [2, 1, 1, 1],
        "one of any size fits"
    );

    let named: Vec<UserId> = (0..50).map(|n| UserId(Uuid::from_u128(2000 + n))).collect();
    let mut world = World::new(Limits::default());
    world.accepted(ALICE, group(&named));
    let naming = |world: &mut World| {
        for _ in 0..30 {
            let with = With {
                mentions: named.clone(),
                ..With::default()
            };
            world.ask_with(ALICE, send("@everyone by name"), with);
        }
    };
    assert_eq!(batches_of(world, naming), [20, 10]);
}

#[test]
fn what_ends_somebodys_delivery_is_the_last_of_its_batch() {
    let removals = |world: &mut World| {
        world.ask(BOB, send("one"));
        world.ask(ALICE, remove(BOB));
        world.ask(ALICE, remove(CAROL));
        world.ask(ALICE, send("alone"));
        world.ask(
            ALICE,
            fanfare_protocol::command::Command::DeleteConversation,
        );
    };
    assert_eq!(batches_of(World::group(), removals), [2, 1, 2]);
}

#[test]
fn a_batch_never_crosses_a_bucket_and_the_head_comes_first() {
    let mut world = World::group();
    let border = BUCKET_ROWS;
    for _ in 0..border + 10 {
        world.ask(ALICE, send("x"));
    }
    world.quiesce();
    let buckets = |rows: &[crate::row::LogRow]| {
        let of = |row: Option<&crate::row::LogRow>| bucket_of(row.unwrap().seq);
        (of(rows.first()), of(rows.last()))
    };
    for batch in &world.batches {
        let (first, last) = buckets(&batch.rows);
        assert_eq!(first, last);
        let opens = batch.rows[0].seq == border + 1;
        assert_eq!(batch.head_before.is_some(), opens);
        if let Some(head) = batch.head_before {
            let before = world.store.row(border).unwrap();
            assert_eq!((head.seq, head.mno, head.clean), (border, before.mno, 0));
        }
    }
    assert!(
        world
            .batches
            .iter()
            .any(|batch| batch.head_before.is_some())
    );
}

#[test]
fn the_head_row_is_written_some_time() {
    let mut world = World::group();
    world.sent(ALICE, "one");
    let seqs = |world: &World| world.heads.iter().map(|head| head.seq).collect::<Vec<_>>();
    assert_eq!(seqs(&world), [1]);
    world.sent(ALICE, "two");
    assert_eq!(seqs(&world), [1]);
    world.pass_ms(HEAD_ROW_MS);
    world.sent(ALICE, "three");
    assert_eq!(seqs(&world), [1, 3]);
    assert!(world.heads.iter().all(|head| head.clean == 0));
}

#[test]
fn rows_are_forgotten_and_read_again() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    for n in 0..2 * ROOM_ROWS_HELD_MAX {
        world.ask(BOB, send(&n.to_string()));
    }
    world.quiesce();
    assert!(world.room.state.rows.len() <= ROOM_ROWS_HELD_MAX + 256);
    let edited = world.ask(ALICE, edit(id, "hallo"));
    assert_eq!(world.read.as_ref().unwrap().rows, [id.seq]);
    assert_eq!(world.refusal(edited), None);
}

#[test]
fn what_waits_for_a_tick_stays_in_memory() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    world.accepted(ALICE, react(id, "👍", true));
    let waiting = world.ask(BOB, react(id, "👍", true));
    for _ in 0..2 * ROOM_ROWS_HELD_MAX {
        world.ask(ALICE, send("x"));
    }
    world.settle();
    world.pass_ms(world.limits.reactions_gather_ms);
    assert!(world.read.is_none());
    assert_eq!(world.refusal(waiting), None);
}

#[test]
fn what_is_not_durable_is_never_forgotten() {
    let mut world = World::group();
    world.sent(ALICE, "hello");
    for n in 0..2 * ROOM_ROWS_HELD_MAX {
        world.ask(BOB, send(&n.to_string()));
    }
    // The first rows become durable while hundreds wait behind them.
    world.finish_append(Outcome::Durable);
    world.finish_append(Outcome::Durable);
    let durable = world.room.published();
    let reaction = world.ask(ALICE, react(world.id(durable + 1), "👍", true));
    assert!(world.read.is_none());
    assert_eq!(world.refusal(reaction), None);
}

#[test]
fn reading_old_rows_does_not_fill_the_memory() {
    let mut world = World::group();
    let rows = 3 * ROOM_ROWS_HELD_MAX;
    for n in 0..rows {
        world.ask(BOB, send(&n.to_string()));
    }
    world.quiesce();
    for seq in 2..rows as u64 {
        // Refused, so that nothing is published.
        world.ask(CAROL, edit(world.id(seq), "not mine"));
        world.settle();
    }
    assert!(world.room.state.rows.len() <= ROOM_ROWS_HELD_MAX + 1);
}

#[test]
fn a_channel_forgets_members_it_can_read_again() {
    let mut world = World::new(Limits {
        room_members_cached_max: 10,
        ..Limits::default()
    });
    let crowd: Vec<UserId> = (0..40).map(|n| UserId(Uuid::from_u128(3000 + n))).collect();
    let public = fanfare_protocol::conversation::Visibility::Public;
    world.accepted(ALICE, channel(&crowd, public));
    for author in &crowd {
        world.accepted(*author, send("hello"));
        assert!(world.room.state.members.len() <= 11);
    }
}

#[test]
fn commands_that_need_several_reads_are_not_starved_by_forgetting() {
    let mut world = World::group();
    let id = world.sent(BOB, "hello");
    world.accepted(BOB, edit(id, "hallo"));
    for n in 0..2 * ROOM_ROWS_HELD_MAX {
        world.ask(ALICE, send(&n.to_string()));
    }
    world.quiesce();
    // First the message is read, then its edits; rows are published all the
    // while.
    let deleted = world.ask(ALICE, delete(id));
    let mut reads = 0;
    while world.read.is_some() {
        reads += 1;
        assert!(reads < 10, "reads the same again and again");
        for _ in 0..600 {
            world.ask(BOB, send("x"));
        }
        world.settle_writes();
        world.finish_read();
        for _ in 0..600 {
            world.ask(BOB, send("x"));
        }
        world.settle_writes();
    }
    assert_eq!((reads, world.refusal(deleted)), (2, None));
}

#[test]
fn time_alone_makes_nothing() {
    let mut world = World::group();
    let batches = world.batches.len();
    world.pass_ms(100_000);
    world.input(Input::Time);
    assert_eq!((world.batches.len(), world.room.wake_ms()), (batches, None));
}
