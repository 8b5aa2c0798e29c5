//! FENCE, as far as one node shows it: epochs own disjoint, ordered ranges of seq.

use std::collections::BTreeMap;

use super::{Attempt, Deed, Outcome, Reader, Rule, Violation};

/// Judges every (seq, epoch) that a reader saw or an acknowledgement named.
pub fn check(readers: &[Reader], attempts: &[Attempt]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut owner: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let seen = readers.iter().flat_map(|reader| {
        reader
            .entries
            .iter()
            .map(move |entry| (reader.conversation.as_str(), entry.seq, entry.epoch))
    });
    let acknowledged =
        attempts
            .iter()
            .filter_map(|attempt| match (&attempt.deed, &attempt.outcome) {
                (Deed::Send { .. }, Outcome::Ok { seq, epoch }) => {
                    Some((attempt.conversation.as_str(), *seq, *epoch))
                }
                _ => None,
            });
    for (conversation, seq, epoch) in seen.chain(acknowledged) {
        let first = *owner.entry((conversation, seq)).or_insert(epoch);
        if first != epoch {
            violations.push(Violation::new(
                Rule::Epoch,
                format!("{conversation}: {seq} belongs to epochs {first} and {epoch}"),
            ));
        }
    }
    let mut before: Option<((&str, u64), u64)> = None;
    for (&place, &epoch) in &owner {
        if let Some((earlier, higher)) = before
            && earlier.0 == place.0
            && higher > epoch
        {
            violations.push(Violation::new(
                Rule::Epoch,
                format!(
                    "{}: {} is of epoch {higher}, {} behind it of {epoch}",
                    place.0, earlier.1, place.1
                ),
            ));
        }
        before = Some((place, epoch));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::sample::{rules, sound};
    use super::*;

    fn judged(change: impl FnOnce(&mut super::super::History)) -> Vec<Rule> {
        let mut history = sound();
        for reader in &mut history.readers {
            reader.entries[2].epoch = 2;
        }
        history.attempts[2].outcome = Outcome::Ok { seq: 3, epoch: 2 };
        change(&mut history);
        rules(&check(&history.readers, &history.attempts))
    }

    #[test]
    fn rising_epochs_pass() {
        assert_eq!(judged(|_| {}), []);
    }

    #[test]
    fn a_seq_of_two_epochs_is_found() {
        assert_eq!(
            judged(|history| history.readers[1].entries[1].epoch = 2),
            [Rule::Epoch]
        );
    }

    #[test]
    fn an_acknowledgement_under_another_epoch_is_found() {
        assert_eq!(
            judged(|history| history.attempts[2].outcome = Outcome::Ok { seq: 3, epoch: 1 }),
            [Rule::Epoch]
        );
    }

    #[test]
    fn an_epoch_that_falls_is_found() {
        let found = judged(|history| {
            history.attempts.clear();
            for reader in &mut history.readers {
                reader.entries[0].epoch = 3;
            }
        });
        assert_eq!(found, [Rule::Epoch]);
    }
}
