//! Everything at once, in rounds: people in small rooms and a large one, by JSON,
//! MessagePack and event streams, who come back all the time, and strangers. After each
//! round all but the steady listeners are gone and the rooms sleep: a base point, by
//! which [`flat`] judges memory, descriptors and tasks; [`talk`] judges what was heard.
//!
//! Short form: four rounds, or `FANFARE_SOAK_ROUNDS`. `FANFARE_SOAK=1` (`make soak`): an
//! hour, or `FANFARE_SOAK_MINUTES`; every sample goes to `target/mixed.jsonl`.

use std::cell::Cell;
use std::time::Instant;

use futures_util::future::join_all;

use crate::harness::heavy;

mod flat;
mod form;
mod guests;
mod house;
mod sample;
mod strangers;
mod table;
mod talk;

use form::Form;
use house::House;
use sample::{Sample, Watch};
use table::Lines;
use talk::Talk;

#[tokio::test(flavor = "multi_thread")]
async fn memory_descriptors_and_tasks_stay_flat() {
    let _alone = heavy().await;
    let house = House::open(Form::chosen()).await;
    let mut lines = Lines::create(house.form.lines);
    println!("{}", table::HEAD);
    let watch = Watch::begin(&house.server);
    let (mut bases, mut acts): (Vec<Sample>, u64) = (Vec::new(), 0);
    while house.form.goes_on(bases.len(), watch.passed()) {
        let number = bases.len();
        acts += Box::pin(watched(&house, &watch, number, acts, &mut lines)).await;
        let base = watch.base(number, acts, bases.first()).await;
        println!("{}", table::row(&base));
        lines.add(&base);
        bases.push(base);
    }
    let slow = house
        .server
        .metric("fanfare_closes_total{code=\"4000\"}")
        .await;
    assert!(slow >= bases.len() as f64, "{slow} slow readers closed");
    house.remembers().await;
    let trend = flat::trend(&bases, &house.form.bounds);
    println!("{}", table::table(&bases, &trend));
    println!("every sample: {}", lines.path.display());
    let broken = flat::judge(&bases, &house.form.bounds);
    assert!(broken.is_empty(), "not flat:\n{}", broken.join("\n"));
    assert_eq!(bases[0].sockets, house.ears.len() as f64);
}

/// A round with samples taken meanwhile; gives the acts acknowledged in it.
async fn watched(
    house: &House,
    watch: &Watch<'_>,
    number: usize,
    before: u64,
    lines: &mut Lines,
) -> u64 {
    let over = Cell::new(false);
    let samples = async {
        while !over.get() {
            lines.add(&watch.look(number, before).await);
            tokio::time::sleep(house.form.sample_every).await;
        }
    };
    let played = async {
        let acts = round(house, number).await;
        over.set(true);
        acts
    };
    tokio::join!(played, samples).0
}

/// New rooms, load in all of them, the judgement, and their end.
async fn round(house: &House, number: usize) -> u64 {
    let rooms = (0..house.form.rooms).map(|at| Talk::in_new_room(house, number, at));
    let mut talks = join_all(rooms).await;
    talks.push(Talk::in_hall(house).await);
    let until = Instant::now() + house.form.load;
    let seed = |who: usize| (number * 1000 + who) as u64;
    let talking = talks.iter().enumerate();
    let talking = talking.map(|(at, talk)| talk.go_on(until, seed(at)));
    // Every fourth by an event stream.
    let (streaming, churning): (Vec<_>, Vec<_>) =
        (0..house.churners.len()).partition(|at| at % 4 == 0);
    let streaming = streaming.into_iter();
    let streaming = streaming.map(|at| guests::stream(house, at, until, seed(100 + at)));
    let churning = churning.into_iter();
    let churning = churning.map(|at| guests::churn(house, at, until, seed(100 + at)));
    let joining = house.joiners.iter();
    let joining = joining.map(|account| guests::joins_and_leaves(house, account, until));
    let browsing = [&house.owner, &house.authors[0], &house.returning[0]].into_iter();
    let browsing = browsing.map(|account| guests::browses(house, account, until, seed(900)));
    let strangers = strangers::come(house);
    let people = async {
        tokio::join!(
            join_all(talking),
            join_all(streaming),
            join_all(churning),
            join_all(joining),
            join_all(browsing),
            guests::registers(house),
        );
        join_all(talks.iter().map(Talk::is_heard)).await;
        judged(house, &talks).await
    };
    let (acts, ()) = tokio::join!(people, strangers);
    talks.pop();
    let endings = talks.into_iter().enumerate();
    join_all(endings.map(|(at, talk)| talk.ends(at % 2 == 0))).await;
    acts
}

/// Judges every room by what the ears have heard since the last time.
async fn judged(house: &House, talks: &[Talk<'_>]) -> u64 {
    let heard = house.ears.iter().map(|ear| {
        ear.socket.expect_no_faults();
        ear.socket.take_events()
    });
    let heard: Vec<_> = heard.collect();
    let mut acts = 0;
    for talk in talks {
        acts += talk.judged(&heard).await;
    }
    acts
}
