//! Identical reads that come at the same time share one query.
//!
//! **Invariant:** a caller is only given the answer of a query that was sent
//! after the caller came. One that was sent before may miss a write that was
//! acknowledged in between, and whoever saw that write would go back in time.
//! So while queries of a key are under way newcomers gather, and the next
//! query, sent once one of those has ended, is theirs.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use fanfare_protocol::limits::{CQL_READ_KEYS_MAX, CQL_READS_PER_KEY};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};

/// Reads under way, by what they ask for.
pub(crate) struct Shared<K, V> {
    keys: Mutex<HashMap<K, Arc<Key<V>>>>,
}

/// One key, as long as somebody asks for it.
struct Key<V> {
    /// Queries that may be under way.
    turns: Semaphore,
    /// Those whose query was not sent yet.
    gathering: Mutex<Option<Arc<OnceCell<V>>>>,
}

impl<V> Key<V> {
    /// From now on nobody joins these: their query is sent.
    fn seal(&self, those: &Arc<OnceCell<V>>) {
        let mut gathering = self.gathering.lock();
        if gathering
            .as_ref()
            .is_some_and(|open| Arc::ptr_eq(open, those))
        {
            *gathering = None;
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Shared<K, V> {
    pub(crate) fn new() -> Self {
        let keys = Mutex::new(HashMap::new());
        Self { keys }
    }

    /// The answer of `query`, or that of somebody else's for the same `key`
    /// that was sent after this call. Whoever gives up leaves the query to
    /// the others.
    pub(crate) async fn ask<F: Future<Output = V>>(&self, key: K, query: impl FnOnce() -> F) -> V {
        let Some(place) = self.place(&key) else {
            // So many different ones at once are not worth a longer list.
            return query().await;
        };
        let leaving = Leaving {
            of: self,
            key,
            place,
        };
        let place = &leaving.place;
        let mine = Arc::clone(place.gathering.lock().get_or_insert_default());
        let answer = mine.get_or_init(async || {
            // Closed never: an error could only mean not to wait.
            let _turn = place.turns.acquire().await;
            place.seal(&mine);
            query().await
        });
        answer.await.clone()
    }

    fn place(&self, key: &K) -> Option<Arc<Key<V>>> {
        let mut keys = self.keys.lock();
        if let Some(place) = keys.get(key) {
            return Some(Arc::clone(place));
        }
        if keys.len() >= CQL_READ_KEYS_MAX {
            return None;
        }
        let place = Arc::new(Key {
            turns: Semaphore::new(CQL_READS_PER_KEY),
            gathering: Mutex::new(None),
        });
        keys.insert(key.clone(), Arc::clone(&place));
        Some(place)
    }
}

/// Takes a key off the list with the last who asks for it.
struct Leaving<'a, K: Eq + Hash, V> {
    of: &'a Shared<K, V>,
    key: K,
    place: Arc<Key<V>>,
}

impl<K: Eq + Hash, V> Drop for Leaving<'_, K, V> {
    fn drop(&mut self) {
        let mut keys = self.of.keys.lock();
        // The list's and ours: others come by the list only, which is locked.
        if Arc::strong_count(&self.place) <= 2 {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Notify;
    use tokio::task::yield_now;

    use super::*;

    /// A value that is read slowly: what a query answers is what stood there
    /// when it was sent.
    #[derive(Default)]
    struct Slow {
        value: AtomicUsize,
        sent: AtomicUsize,
        under_way: AtomicUsize,
        most: AtomicUsize,
        go: Notify,
    }

    impl Slow {
        async fn query(&self) -> usize {
            let seen = self.value.load(Ordering::SeqCst);
            self.sent.fetch_add(1, Ordering::SeqCst);
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.go.notified().await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            seen
        }

        async fn sent(&self, count: usize) {
            while self.sent.load(Ordering::SeqCst) < count {
                yield_now().await;
            }
        }
    }

    type Stage = (Arc<Shared<u8, usize>>, Arc<Slow>);

    fn stage() -> Stage {
        (Arc::new(Shared::new()), Arc::default())
    }

    fn ask((shared, slow): &Stage) -> tokio::task::JoinHandle<usize> {
        let (shared, slow) = (Arc::clone(shared), Arc::clone(slow));
        tokio::spawn(async move { shared.ask(1, || slow.query()).await })
    }

    async fn settle() {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_thousand_at_once_are_a_few_queries() {
        let stage = stage();
        let asked: Vec<_> = (0..1000).map(|_| ask(&stage)).collect();
        settle().await;
        let at_once = CQL_READS_PER_KEY;
        assert_eq!(stage.1.sent.load(Ordering::SeqCst), at_once);
        for _ in 0..=at_once {
            stage.1.go.notify_one();
            settle().await;
        }
        for answer in asked {
            assert_eq!(answer.await.unwrap(), 0);
        }
        assert_eq!(stage.1.sent.load(Ordering::SeqCst), at_once + 1);
        assert_eq!(stage.1.most.load(Ordering::SeqCst), at_once);
        assert!(stage.0.keys.lock().is_empty());
    }

    #[tokio::test]
    async fn nobody_gets_an_answer_from_before_they_came() {
        let stage = stage();
        let first: Vec<_> = (0..CQL_READS_PER_KEY).map(|_| ask(&stage)).collect();
        stage.1.sent(CQL_READS_PER_KEY).await;
        // A write is acknowledged while they are under way.
        stage.1.value.store(7, Ordering::SeqCst);
        let late: Vec<_> = (0..3).map(|_| ask(&stage)).collect();
        settle().await;
        for _ in 0..=CQL_READS_PER_KEY {
            stage.1.go.notify_one();
            settle().await;
        }
        for answer in first {
            assert_eq!(answer.await.unwrap(), 0);
        }
        for answer in late {
            assert_eq!(answer.await.unwrap(), 7);
        }
    }

    /// Many readers and a writer, switched at every await in an order that
    /// differs from round to round.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn reads_never_go_back_in_time() {
        let shared = Arc::new(Shared::new());
        let value = Arc::new(AtomicUsize::new(0));
        let reader = |n: usize| {
            let (shared, value) = (Arc::clone(&shared), Arc::clone(&value));
            tokio::spawn(async move {
                for round in 0..500 {
                    let acknowledged = match (n + round) % 3 {
                        0 => value.fetch_add(1, Ordering::SeqCst) + 1,
                        _ => value.load(Ordering::SeqCst),
                    };
                    let query = || async {
                        let seen = value.load(Ordering::SeqCst);
                        for _ in 0..(n + round) % 4 {
                            yield_now().await;
                        }
                        seen
                    };
                    let seen = shared.ask(n % 2, query).await;
                    assert!(seen >= acknowledged, "saw {seen} after {acknowledged}");
                }
            })
        };
        for done in join_all((0..16).map(reader)).await {
            done.unwrap();
        }
        assert!(shared.keys.lock().is_empty());
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_the_query_to_the_others() {
        let stage = stage();
        let ahead: Vec<_> = (0..CQL_READS_PER_KEY).map(|_| ask(&stage)).collect();
        settle().await;
        let (leader, other) = (ask(&stage), ask(&stage));
        settle().await;
        for answer in ahead {
            answer.abort();
        }
        settle().await;
        leader.abort();
        settle().await;
        stage.1.go.notify_one();
        settle().await;
        stage.1.go.notify_one();
        assert_eq!(other.await.unwrap(), 0);
        settle().await;
        assert!(stage.0.keys.lock().is_empty());
    }

    #[tokio::test]
    async fn the_list_is_bounded() {
        let shared: Shared<usize, usize> = Shared::new();
        let full = (0..=CQL_READ_KEYS_MAX).map(|key| {
            let seen = &shared;
            shared.ask(key, move || async move {
                yield_now().await;
                seen.keys.lock().len()
            })
        });
        let lengths = join_all(full).await;
        assert!(lengths.iter().all(|length| *length <= CQL_READ_KEYS_MAX));
        assert!(shared.keys.lock().is_empty());
    }
}
