//! The log under two owners, exhaustively: what holds, and that each planted
//! fault is found.

use stateright::{Model, Property};

use super::proof;
use super::world::{Act, Room, Scope, World, length, replay};

const REPLACED: &str = "FENCE: what anybody was told is never lost nor replaced";
const DENSE: &str =
    "ORDER: what was told is dense, each content has one seq, epochs own rising ranges";
const DURABLE: &str = "DURABLE: whoever owns the log has all that was acknowledged";
const EFFECTS: &str = "effects equal a replay of the log";
const SHOWN: &str = "a reader shows all that anybody was told, or waits";

struct LogModel(Scope);

impl Model for LogModel {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::default()]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        world.acts(self.0, acts);
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        next.act(act, self.0);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(REPLACED, |_, world: &World| stays(world)),
            Property::always(DENSE, |_, world: &World| is_dense(world)),
            Property::always(DURABLE, |_, world: &World| has_acknowledged(world)),
            Property::always(EFFECTS, |_, world: &World| effects_equal_replay(world)),
            Property::always(SHOWN, |_, world: &World| world.shows_what_was_told()),
        ];
        let scope = self.0;
        properties.push(Property::sometimes(
            "the reader shows a row that nobody acknowledged",
            |_, world: &World| world.reader_told && world.told[0] != 0 && !world.acked[0],
        ));
        properties.push(Property::sometimes(
            "a row that nobody acknowledged is adopted",
            |_, world: &World| {
                serving(world)
                    .any(|(epoch, log)| log[0] != 0 && log[0] / 16 < epoch && !world.acked[0])
            },
        ));
        if scope.contents > 1 {
            properties.push(Property::sometimes(
                "two epochs acknowledged a row each",
                |_, world: &World| {
                    world.acked[0] && world.acked[1] && world.told[0] / 16 < world.told[1] / 16
                },
            ));
        }
        if scope.epochs > 2 {
            properties.push(Property::sometimes(
                "the third owner serves",
                |_, world: &World| serving(world).any(|(epoch, _)| epoch == 3),
            ));
        }
        if scope.sleeps {
            properties.push(Property::sometimes(
                "a room is awake again under its epoch after a clean sleep",
                |_, world: &World| {
                    world.head[0].durable() / 16 == 1 && serving(world).any(|(epoch, _)| epoch == 1)
                },
            ));
        }
        properties
    }
}

/// Engines that may answer, with their epoch and log.
fn serving(world: &World) -> impl Iterator<Item = (u8, &[u8; super::world::SEQS])> {
    let answers = world.engines.iter().filter(|engine| engine.holds());
    answers.filter_map(|engine| match &engine.room {
        Room::Serving(log) => Some((engine.epoch, log)),
        _ => None,
    })
}

fn stays(world: &World) -> bool {
    let told = world
        .told
        .iter()
        .zip(&world.rows)
        .filter(|(told, _)| **told != 0);
    let mut kept = told.map(|(told, cell)| cell.possible().all(|found| found == *told));
    !world.contradicted && kept.all(|it| it)
}

fn is_dense(world: &World) -> bool {
    let rows = &world.told[..length(&world.told)];
    let rising = rows
        .windows(2)
        .all(|two| two[0] / 16 <= two[1] / 16 && two[0] % 16 != two[1] % 16);
    rising && world.told[rows.len()..].iter().all(|row| *row == 0)
}

fn has_acknowledged(world: &World) -> bool {
    let has = |log: &[u8]| {
        (world.acked.iter().enumerate())
            .all(|(index, acked)| !acked || log[index] == world.told[index])
    };
    serving(world).all(|(_, log)| has(log))
}

fn effects_equal_replay(world: &World) -> bool {
    let mut settled = world
        .engines
        .iter()
        .filter(|engine| engine.holds() && engine.flight.is_none());
    settled.all(|engine| match &engine.room {
        Room::Serving(log) => world.effect.possible().all(|found| found == replay(log)),
        _ => true,
    })
}

fn is_proven(scope: Scope) {
    proof::is_proven(LogModel(scope), &scope);
}

fn is_found(planted: Scope, expected: &[&str]) {
    proof::is_found(LogModel(planted), &planted, expected);
}

#[test]
fn two_owners_and_rooms_that_sleep() {
    is_proven(Scope {
        epochs: 2,
        contents: 2,
        sleeps: true,
        ..Scope::default()
    });
}

#[test]
fn two_owners_and_batches_half_visible() {
    is_proven(Scope {
        epochs: 2,
        contents: 3,
        sleeps: false,
        ..Scope::default()
    });
}

#[test]
fn three_owners_of_one_row() {
    is_proven(Scope {
        epochs: 3,
        contents: 1,
        sleeps: false,
        ..Scope::default()
    });
}

#[test]
fn an_acknowledgement_without_the_lease_is_found() {
    let planted = Scope {
        acknowledge_without_lease: true,
        epochs: 2,
        contents: 3,
        ..Scope::default()
    };
    is_found(planted, &[REPLACED, DURABLE, EFFECTS, SHOWN]);
}

#[test]
fn a_seq_given_to_two_contents_is_found() {
    let planted = Scope {
        seq_reused: true,
        epochs: 2,
        contents: 3,
        ..Scope::default()
    };
    is_found(planted, &[REPLACED, SHOWN]);
}

#[test]
fn an_activation_that_does_not_note_its_epoch_is_found() {
    let planted = Scope {
        no_epoch_row: true,
        epochs: 2,
        contents: 3,
        ..Scope::default()
    };
    is_found(planted, &[REPLACED, SHOWN]);
}

#[test]
fn a_reader_that_skips_the_epochs_is_found() {
    let planted = Scope {
        reader_skips_epochs: true,
        epochs: 2,
        contents: 3,
        ..Scope::default()
    };
    is_found(planted, &[REPLACED, SHOWN]);
}

#[test]
fn an_older_epoch_left_open_is_found() {
    let planted = Scope {
        older_epochs_left_open: true,
        epochs: 3,
        contents: 1,
        ..Scope::default()
    };
    is_found(planted, &[SHOWN, EFFECTS]);
}

#[test]
fn an_epoch_that_is_judged_twice_is_found() {
    let planted = Scope {
        begins_again: true,
        epochs: 2,
        contents: 2,
        ..Scope::default()
    };
    is_found(planted, &[SHOWN, EFFECTS, REPLACED]);
}
