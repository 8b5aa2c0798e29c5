//! Runs a model in every interleaving: to prove it, or to find what was
//! planted.

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// Visits every state; all properties hold.
pub fn is_proven<M>(model: M, scope: &dyn Debug)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    let checker = model.checker().spawn_bfs().join();
    println!(
        "{scope:?}: {} states visited, depth {}",
        checker.unique_state_count(),
        checker.max_depth()
    );
    assert!(checker.is_done());
    checker.assert_properties();
}

/// Runs until a property is broken, which must be one of these.
pub fn is_found<M>(model: M, planted: &dyn Debug, expected: &[&str])
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    let checker = model.checker();
    let checker = checker
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let broken: Vec<&str> = (checker.model().properties().iter())
        .filter(|it| it.expectation == Expectation::Always)
        .filter(|it| checker.discovery(it.name).is_some())
        .map(|it| it.name)
        .collect();
    println!(
        "{} states visited until {broken:?}",
        checker.unique_state_count()
    );
    assert!(!broken.is_empty(), "{planted:?} was not found");
    assert!(
        broken.iter().all(|name| expected.contains(name)),
        "{broken:?}"
    );
    for name in broken {
        let path = checker.discovery(name).expect("just found");
        println!("{name}: {:?}", path.into_actions());
    }
}
