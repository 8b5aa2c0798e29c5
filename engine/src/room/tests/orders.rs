//! The order of one session's commands; handing back; closing.

use fanfare_protocol::command::Command;
use fanfare_protocol::limits::ROOM_ORDERS_MAX;
use fanfare_protocol::{Code, Limits};

use super::ask::*;
use super::world::World;
use crate::room::Outcome;

#[test]
fn a_missing_predecessor_hands_the_command_back() {
    let table = [
        // (number, oldest unanswered, what came by before, handed back)
        (1, 1, vec![], false),
        (5, 5, vec![], false),
        (2, 1, vec![], true),
        (2, 1, vec![1], false),
        (3, 1, vec![1], true),
        (3, 3, vec![1], false),
        (3, 2, vec![1, 2], false),
        (3, 2, vec![1], true),
    ];
    for (number, oldest, before, expected) in table {
        let mut world = World::group();
        for earlier in &before {
            world.ask_with(ALICE, send("before"), ordered(1, *earlier, *earlier));
        }
        let with = ordered(1, number, oldest);
        let ticket = world.ask_with(ALICE, send("asked"), with);
        let back = world.handed_back.contains(&ticket);
        assert_eq!(back, expected, "{number} {oldest} {before:?}");
    }
}

#[test]
fn sessions_do_not_mind_each_other() {
    let mut world = World::group();
    world.ask_with(ALICE, send("one"), ordered(1, 1, 1));
    let other = world.ask_with(ALICE, send("two"), ordered(2, 2, 1));
    assert_eq!(world.handed_back, [other]);
}

#[test]
fn parked_commands_keep_their_sessions_order() {
    let mut world = World::channel();
    let id = world.sent(ALICE, "hello");
    world.room.state.rows.clear();
    // The first needs a row, the second nothing; another session's passes.
    let edited = world.ask_with(ALICE, reply("first", Some(id)), ordered(1, 1, 1));
    let behind = world.ask_with(ALICE, send("second"), ordered(1, 2, 1));
    let other = world.ask_with(BOB, send("passes"), ordered(2, 1, 1));
    world.quiesce();
    let seq = |ticket| world.answers[&ticket].clone().unwrap().seq;
    assert_eq!((seq(other), seq(edited), seq(behind)), (3, 4, 5));
}

#[test]
fn loading_keeps_everything_in_order() {
    let mut world = World::unloaded(Limits::default());
    let created = world.ask(ALICE, group(&[BOB]));
    let sent = world.ask_with(BOB, send("hello"), ordered(1, 1, 1));
    assert!(world.batches.is_empty());
    world.quiesce();
    let seq = |ticket| world.answers[&ticket].clone().unwrap().seq;
    assert_eq!((seq(created), seq(sent)), (1, 2));
}

#[test]
fn what_is_refused_does_not_stand_in_the_way() {
    let mut world = World::group();
    world.ask_with(DAVE, send("refused"), ordered(1, 1, 1));
    world.ask_with(BOB, send("one"), ordered(2, 1, 1));
    let behind = world.ask_with(BOB, send("two"), ordered(2, 2, 1));
    world.finish_append(Outcome::NotWritten);
    assert_eq!(
        world.answers[&behind].clone().unwrap_err().code,
        Code::Unavailable
    );
    let next = world.ask_with(BOB, send("three"), ordered(2, 3, 1));
    assert_eq!(world.refusal(next), None);
    assert!(world.handed_back.is_empty());
}

#[test]
fn what_an_overloaded_room_refuses_is_no_missing_predecessor() {
    let limits = Limits {
        room_waiting_max: 1,
        ..Limits::default()
    };
    let mut world = World::unloaded(limits);
    world.ask(ALICE, group(&[BOB]));
    let refused = world.ask_with(BOB, send("too much"), ordered(1, 1, 1));
    let behind = world.ask_with(BOB, send("as well"), ordered(1, 2, 1));
    assert!(world.handed_back.is_empty());
    for ticket in [refused, behind] {
        assert_eq!(world.refusal(ticket), Some(Code::Overloaded));
    }
}

#[test]
fn sessions_that_wait_for_nothing_are_forgotten() {
    let mut world = World::group();
    let in_flight = world.ask_with(ALICE, send("open"), ordered(0, 1, 1));
    for session in 1..=ROOM_ORDERS_MAX as u64 + 10 {
        world.ask_with(DAVE, send("stranger"), ordered(session, 1, 1));
        world.answers.retain(|ticket, _| *ticket > in_flight);
    }
    // The one that waits is still known, whoever came by.
    let next = world.ask_with(ALICE, send("next"), ordered(0, 2, 1));
    world.quiesce();
    assert!(!world.handed_back.contains(&next));
    // Now nobody waits; after as many again the old ones are gone.
    for session in 0..3 * ROOM_ORDERS_MAX as u64 {
        world.ask_with(DAVE, send("stranger"), ordered(100_000 + session, 1, 1));
    }
    let late = world.ask_with(ALICE, send("late"), ordered(0, 3, 2));
    assert!(
        world.handed_back.contains(&late),
        "once: it comes again as the oldest"
    );
    let again = world.ask_with(ALICE, send("late"), ordered(0, 3, 3));
    assert_eq!(world.refusal(again), None);
}

#[test]
fn a_closed_room_hands_everything_back() {
    let mut world = World::group();
    world.room.close();
    assert!(world.room.head().is_clean());
    let late = world.ask(ALICE, send("late"));
    assert_eq!(world.handed_back, [late]);
    assert!(world.append.is_none());
}

#[test]
fn a_room_closed_in_the_middle_finishes_only_what_is_in_flight() {
    for outcome in [Outcome::Durable, Outcome::NotWritten] {
        let mut world = World::channel();
        world.accepted(DAVE, Command::Join);
        let in_flight = world.ask(ALICE, send("in flight"));
        let gathered = world.ask(ALICE, send("gathered"));
        let ticking = world.ask(BOB, Command::Leave);
        let parked = world.ask(ERIN, Command::Join);
        world.room.close();
        assert_eq!(world.room.head().clean, 0);
        world.finish_append(outcome);
        let behind = [gathered, ticking, parked];
        if outcome == Outcome::Durable {
            assert!(world.answers[&in_flight].is_ok());
            assert!(
                behind
                    .iter()
                    .all(|ticket| world.handed_back.contains(ticket))
            );
        } else {
            let mut all = behind.iter().chain([&in_flight]);
            assert!(all.all(|ticket| world.answers[ticket].is_err()));
        }
        assert!(world.append.is_none() && !world.loading);
    }
}
